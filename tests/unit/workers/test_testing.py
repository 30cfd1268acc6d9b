from datetime import date
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject
from pydantic import BaseModel

from pointsman import ManagedTask, celery
from pointsman.errors import ArgumentsNotValid, OptionNotHonoured
from pointsman.testing import run, run_attempt


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


class Wrapping(ManagedTask):
    """As Flask's documentation has it."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.wrapped = True
        return self.run(*args, **kwargs)


def test_a_call_of_ones_own_leads_to_the_body_with_its_models_built() -> None:
    @celery.task(name="unit.wrapped", bind=True, base=Wrapping)
    def wrapped(self: Any, order: Order) -> list[Any]:
        return [order.number, self.wrapped, self.attempt]

    assert run(wrapped, {"number": 7}).result == [7, True, 1]


def test_a_retry_below_a_call_of_ones_own_is_a_retry() -> None:
    @celery.task(name="unit.wrapped_retry", bind=True, base=Wrapping, autoretry_for=(KeyError,), retry_backoff=7)
    def again(self: Any, how: str) -> None:
        if how == "asked":
            raise self.retry(countdown=30)
        raise KeyError(how)

    assert run(again, "asked").retry_in_seconds == 30
    assert 0 <= (run(again, "listed").retry_in_seconds or -1) <= 7


def test_before_start_belongs_to_the_attempt() -> None:
    class Unready(ManagedTask):
        abstract = True

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            if self.attempt == 1:
                raise ConnectionError(f"{self.request.retries} {args} {kwargs}")

    @celery.task(name="unit.unready", base=Unready, max_retries=1)
    def unready(number: int) -> int:
        return number

    first = run(unready, 7)
    assert (first.state, first.error and first.error["message"]) == ("retrying", "0 [7] {}")
    assert run_attempt(unready, [7], attempt=2).result == 7


@pytest.mark.parametrize("refusal", [Ignore(), Reject("no", requeue=True)])
def test_a_refusal_before_the_body_ends_the_task(refusal: Exception) -> None:
    class Refusing(ManagedTask):
        abstract = True

        def before_start(self, *_: Any) -> None:
            raise refusal

    @celery.task(name=f"unit.refusing.{type(refusal).__name__}", base=Refusing)
    def refusing() -> None: ...

    assert run(refusing).state == "failed"


def test_arguments_may_have_any_name() -> None:
    names = ["args", "cls", "kwargs", "request", "self", "task", "task_id", "p0", "model_config"]

    @celery.task(name="unit.any_name")
    def any_name(when: date, **named: int) -> list[str]:
        assert when.year == 2026
        return sorted(named)

    assert run(any_name, "2026-11-28", **dict.fromkeys(names, 1)).result == sorted(names)
    assert any_name(date(2026, 11, 28), **dict.fromkeys(names, 1)) == sorted(names)
