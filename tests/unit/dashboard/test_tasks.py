"""What the pages of tasks make of an address, of JSON and of a way, without a server."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.api.parts import Parts
from pointsman_service.callers import LOCAL, Caller
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.json_text import MOST_SHOWN, indented, json_text
from pointsman_service.dashboard.links import Links
from pointsman_service.dashboard.tasks.drawing import bars_of, says
from pointsman_service.dashboard.tasks.filters import Chosen, chosen_of
from pointsman_service.dashboard.tasks.offers import act_filter, offers_of
from pointsman_service.observe.tasks.path import Stretch
from pointsman_service.operate.act_on_many import ActFilter, TaskActKind

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


def asked(query: str) -> Ask:
    pairs = parse_qsl(query)
    every: dict[str, list[str]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    parts = cast(Parts, None)
    return Ask(parts=parts, caller=LOCAL, path="tasks", query=dict(pairs), every=every, now=NOW)


def chosen(query: str) -> Chosen:
    return chosen_of(asked(query))


def test_an_address_says_all_that_a_list_is_narrowed_to_and_comes_back_as_it_was() -> None:
    query = (
        "state=failed&queue=email&task_type=a.b&caller=ops&worker=w%40h&attempts=2&attempts_at_least=1&error_type=E"
        "&error_message=no+such&replayed=false&submitted_after=2026-11-29T08%3A00%3A00.000Z"
        "&finished_before=2026-11-29T09%3A00%3A00.000Z&tag=tenant%3A42&tag=plan%3Agold&sort=finished&limit=20"
    )
    found = chosen(query)
    assert found.faults == []
    assert found.wanted.state is TaskState.FAILED
    assert found.wanted.tags == [[{"tenant": "42"}], [{"plan": "gold"}]]
    assert found.wanted.submitted_after == datetime(2026, 11, 29, 8, tzinfo=UTC)
    link = Links()("tasks", **found.query())
    assert sorted(parse_qsl(link.partition("?")[2])) == sorted(parse_qsl(query))


def test_a_time_without_an_offset_is_one_of_utc() -> None:
    assert chosen("submitted_after=2026-11-29T08:15").wanted.submitted_after == datetime(
        2026, 11, 29, 8, 15, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "query",
    [
        "state=nothing", "attempts=-1", "attempts=x", "attempts=99999999999", "error_group=7", "error_message=no",
        "replayed=maybe", "submitted_after=2030", "submitted_after=tomorrow", "sort=size", "limit=201", "limit=0",
        "cursor=x", "tag=colonless", "sate=failed", "queue=" + "q" * 64,
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_fault_and_never_left_out(query: str) -> None:
    found = chosen(query)
    assert [fault["pointer"] for fault in found.faults] == [f"/query/{query.partition('=')[0]}"]


def test_each_narrowing_can_be_taken_away_by_itself() -> None:
    ask = asked("state=failed&queue=email&tag=a%3A1&tag=b%3A2")
    chips = dict(chosen_of(ask).chips(ask))
    assert set(chips) == {"queue email", "a:1", "b:2"}
    assert chips["queue email"] == "./tasks?state=failed&tag=a%3A1&tag=b%3A2"
    assert chips["a:1"] == "./tasks?state=failed&queue=email&tag=b%3A2"


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (TaskActKind.CANCEL, ""), (TaskActKind.RETRY, "sort=finished"), (TaskActKind.CANCEL, "state=failed"),
        (TaskActKind.CANCEL, "error_type=E"), (TaskActKind.CANCEL, "finished_after=2026-11-29T08:00"),
        (TaskActKind.RETRY, "held_reason=quarantine"), (TaskActKind.RETRY, "state=succeeded"),
        (TaskActKind.RETRY, "state=queued"),
        (TaskActKind.RETRY, "queue=email&replayed=true"), (TaskActKind.RETRY, "tag=a%3Ab%3Ac"),
    ],
)  # fmt: skip
def test_no_act_is_offered_that_would_find_more_than_the_list(kind: TaskActKind, query: str) -> None:
    assert isinstance(act_filter(kind, chosen(query)), str)


def test_an_act_is_about_what_the_list_is_narrowed_to() -> None:
    found = act_filter(TaskActKind.RETRY, chosen("queue=email&error_type=E&tag=a%3A1&attempts_at_least=2"))
    assert found == ActFilter(queue="email", error_type="E", tags={"a": "1"}, attempts_at_least=2)


def test_what_one_breaker_holds_can_be_cancelled() -> None:
    found = act_filter(TaskActKind.CANCEL, chosen("state=held&held_reason=breaker%3Adependency%3Acrm"))
    assert found == ActFilter(state=TaskState.HELD, held_reason="breaker:dependency:crm")


def test_who_may_not_act_on_many_is_offered_nothing() -> None:
    ask = asked("queue=email")
    assert [offer.label for offer in offers_of(ask, chosen_of(ask))] == ["Run them all again", "Cancel them all"]
    reader = Caller("reader", LOCAL.known_by, acts=frozenset())
    assert offers_of(replace(ask, caller=reader), chosen_of(ask)) == []


@pytest.mark.parametrize(
    "value",
    [[], {}, [1, [], {"a": {}}], {"a": [1, 2], "b": "x, {y}: [z]"}, 'quoted " and \\ back', None, -1.5e300, {"": [""]}],
)  # fmt: skip
def test_json_is_laid_out_and_says_the_same(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":")), json.dumps(value, indent=1)):
        shown = indented(text)
        assert json.loads(shown) == value
        assert indented(shown) == shown


def test_numbers_are_shown_digit_by_digit() -> None:
    text = '{"order":90071992547409931,"sum":1.10,"far":1e400}'
    assert indented(text) == '{\n  "order": 90071992547409931,\n  "sum": 1.10,\n  "far": 1e400\n}'


@pytest.mark.parametrize("text", ["", "{", '"open', '"back\\', "]]", "[" * 5000, "no json"])
def test_what_is_no_json_is_shown_all_the_same(text: str) -> None:
    assert "".join(indented(text).split()) == "".join(text.split())


def test_long_json_is_cut_and_says_so() -> None:
    assert json_text("[" + "1," * MOST_SHOWN + "1]").is_cut
    assert not json_text("[1]").is_cut


def stretch(state: TaskState, begin: float, end: float) -> Stretch:
    return Stretch(state, NOW + timedelta(seconds=begin), NOW + timedelta(seconds=end))


def test_a_way_is_drawn_to_scale_and_what_is_short_is_seen() -> None:
    path = [
        stretch(TaskState.SCHEDULED, 0, 900),
        stretch(TaskState.QUEUED, 900, 1000),
        stretch(TaskState.HELD, 1000, 1000),
    ]
    bars = bars_of(path)
    assert [(bar.x, bar.width) for bar in bars[:2]] == [(0.0, 90.0), (90.0, 10.0)]
    assert bars[2].width > 0
    assert bars[2].x + bars[2].width <= 100
    assert says(path, NOW).startswith("scheduled from 08:30:00 for 15 min; queued from 08:45:00 for 1 min 40 s")


def test_a_way_that_took_no_time_is_not_drawn() -> None:
    assert bars_of([]) == []
    assert bars_of([stretch(TaskState.QUEUED, 0, 0)]) == []


def test_parameters_of_links_may_be_given_more_than_once() -> None:
    query: Mapping[str, Any] = {"tag": ["a:1", "b:2"], "none": [], "state": "failed"}
    assert Links()("tasks", **query) == "./tasks?tag=a%3A1&tag=b%3A2&state=failed"
