from typing import Any

import pytest
from pydantic import BaseModel

from workers import celery
from workers.errors import ArgumentsNotValid, OptionNotHonoured
from workers.testing import run


class Order(BaseModel):
    number: int


@celery.task(name="unit.confirm", bind=True, queue="email")
def confirm(self: Any, order: Order, loud: bool = False) -> dict[str, Any]:
    self.progress(1, 2, "looked up")
    return {"order": order, "loud": loud, "queue": self.request.delivery_info["routing_key"]}


def test_a_result_is_what_readers_get() -> None:
    ran = run(confirm, {"number": 7}, loud=True)
    assert (ran.state, ran.error, ran.raised) == ("succeeded", None, None)
    assert ran.result == {"order": {"number": 7}, "loud": True, "queue": "email"}
    assert [step["note"] for step in ran.progress] == ["looked up"]


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ([], {}, "order"),
        ([{"number": "x"}], {}, "/args/0/number"),
        ([{"number": 1}], {"colour": 1}, "colour"),
        ([{"number": 1}, True, 3], {}, "/args/2"),
    ],
)
def test_arguments_that_the_api_would_refuse_are_refused(args: list[Any], kwargs: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentsNotValid, match=named):
        run(confirm, *args, **kwargs)


def test_arguments_that_are_not_json_are_refused() -> None:
    with pytest.raises(TypeError, match="JSON"):
        run(confirm, {"number": object()})


def test_a_task_that_no_worker_would_start_with_is_refused() -> None:
    @celery.task(name="unit.endless", time_limit=0)
    def endless() -> None: ...

    try:
        with pytest.raises(OptionNotHonoured, match="time limit"):
            run(endless)
    finally:
        celery.tasks.unregister("unit.endless")


def test_a_large_result_fails_as_it_would_in_a_worker() -> None:
    @celery.task(name="unit.large")
    def large() -> str:
        return "x" * 100_000

    ran = run(large)
    assert ran.state == "failed"
    assert ran.error is not None
    assert ran.error["type"] == "ResultTooLarge"


def test_a_task_that_ignores_its_result_returns_none() -> None:
    @celery.task(name="unit.quiet", ignore_result=True)
    def quiet() -> str:
        return "not kept"

    assert run(quiet).result is None


def test_the_request_is_taken_off_again() -> None:
    run(confirm, {"number": 7})
    assert celery.tasks["unit.confirm"].request.id is None
