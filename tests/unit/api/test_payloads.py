"""What of an answer is masked goes by its view alone."""

from dataclasses import replace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.api.answers.payloads import Payload, mask
from pointsman_service.api.breakers.answering import shown
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.last_error import LastError


class Inner(BaseModel):
    kind: str
    said: Annotated[str, Payload("")] = Field(description="What it said.")


class Whole(BaseModel):
    name: str
    one: Inner | None
    many: list[Inner]
    named: dict[str, Inner]
    numbers: dict[str, int]
    made: Annotated[str, Payload(made=lambda view: f"about {view['name']}")]


def whole() -> dict[str, Any]:
    return {
        "name": "n",
        "one": {"kind": "k", "said": "secret"},
        "many": [{"kind": "k", "said": "secret"}, {"kind": "k", "said": ""}],
        "named": {"x": {"kind": "k", "said": "secret"}},
        "numbers": {"said": 1},
        "made": "secret",
    }


def test_what_is_marked_is_masked_wherever_it_stands_and_nothing_else() -> None:
    view = whole()
    assert set(mask(Whole, view)) == {"one.said", "many.said", "named.said", "made"}
    assert view == {
        "name": "n",
        "one": {"kind": "k", "said": ""},
        "many": [{"kind": "k", "said": ""}, {"kind": "k", "said": ""}],
        "named": {"x": {"kind": "k", "said": ""}},
        "numbers": {"said": 1},
        "made": "about n",
    }


def test_nothing_is_masked_twice_and_null_stays_null() -> None:
    view = whole() | {"one": None}
    mask(Whole, view)
    assert mask(Whole, view) == []
    assert view["one"] is None


def test_a_list_and_a_choice_of_views_are_gone_through() -> None:
    views = [whole(), {"kind": "k", "said": "secret"}]
    mask(list[Whole | Inner], views)
    assert "secret" not in str(views)


def test_a_task_says_what_of_it_is_masked() -> None:
    error = {"type": "ValueError", "message": "m", "traceback": "t", "group": None}
    progress = {"state": "MINE", "current": 1, "total": 2, "note": "n", "meta": {"a": 1}, "updated_at": None}
    view = EXAMPLE_TASK | {"error": error, "progress": progress, "args": []}
    mask(TaskView, view)
    assert view["masked"] == [
        "error.message", "error.traceback", "kwargs", "progress.meta", "progress.note", "progress.state", "result",
        "tags",
    ]  # fmt: skip
    assert (view["kwargs"], view["tags"], view["result"]) == ({}, {}, None)
    assert view["error"] == {"type": "ValueError", "message": "", "traceback": "", "group": None}
    assert (view["progress"]["current"], view["progress"]["total"]) == (1, 2)


@pytest.mark.parametrize("content", [None, 3, "text", [None], {"other": 1}])
def test_what_is_no_view_is_left_as_it_is(content: Any) -> None:
    assert mask(Whole, content) == []


def test_no_guess_of_a_message_is_proved_by_an_etag() -> None:
    def etag(error_type: str, message: str) -> str:
        error = LastError(error_type, message, None, 1.0, 1)
        entry = replace(Entry.fresh(("dependency", "smtp"), BreakerPolicy()), last_error=error)
        return shown(entry).headers["etag"]

    assert etag("OSError", "hunter2x") == etag("OSError", "hunter3x") == etag("OSError", "")
    assert etag("OSError", "hunter2x") != etag("KeyError", "hunter2x")
