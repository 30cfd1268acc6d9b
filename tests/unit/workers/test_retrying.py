"""The table of Celery's retry options, through a managed run without servers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject

from pointsman import EmailTask, MaintenanceTask, PermanentError
from pointsman.errors import OptionNotHonoured
from pointsman.task_type.retrying import RetryRules
from pointsman.testing import Ran, run, run_attempt
from pointsman_contract.retry import RetryPolicy


def fails(self: Any) -> None:
    raise ValueError("no")


def asks(self: Any) -> None:
    raise self.retry()


def outcome(ran: Ran) -> tuple[str, float | None]:
    return ran.state, ran.retry_in_seconds


def test_every_exception_is_retried_by_the_default_policy(make: Any) -> None:
    ran = run(make(fails))
    assert ran.state == "retrying"
    assert 0 <= (ran.retry_in_seconds or 0) <= 2
    assert ran.error is not None
    assert (ran.error["type"], ran.error["message"]) == ("ValueError", "no")


def test_the_last_attempt_fails_for_good(make: Any) -> None:
    task = make(fails)
    assert run_attempt(task, attempt=3).state == "retrying"
    assert run_attempt(task, attempt=4).state == "failed"
    assert run_attempt(task, attempt=4, max_attempts=5).state == "retrying"
    assert run_attempt(task, attempt=1, max_attempts=1).state == "failed"


@pytest.mark.parametrize("error", [PermanentError("x"), Ignore(), Reject()])
def test_a_permanent_error_and_celerys_own_signals_are_not_retried(make: Any, error: Exception) -> None:
    def body(self: Any) -> None:
        raise error

    assert outcome(run(make(body))) == ("failed", None)


def test_with_autoretry_for_only_those_named_are_retried(make: Any) -> None:
    assert run(make(fails, autoretry_for=(ValueError,))).state == "retrying"
    assert run(make(fails, autoretry_for=(LookupError,))).state == "failed"
    assert run(make(fails, autoretry_for=(Exception,), dont_autoretry_for=(ValueError,))).state == "failed"
    assert run(make(fails, dont_autoretry_for=[ValueError])).state == "failed"


@pytest.mark.parametrize(
    ("options", "attempt", "seconds"),
    [
        ({"default_retry_delay": 30}, 1, 30),
        ({"default_retry_delay": 30}, 3, 30),
        ({"retry_backoff": True, "retry_jitter": False}, 1, 1),
        ({"retry_backoff": True, "retry_jitter": False}, 3, 4),
        ({"retry_backoff": 5, "retry_jitter": False}, 2, 10),
        ({"retry_backoff": 5, "retry_jitter": False, "retry_backoff_max": 12}, 3, 12),
        ({"retry_backoff": 5, "retry_jitter": False, "retry_backoff_max": 2}, 1, 2),
        ({"retry_kwargs": {"countdown": 9}}, 1, 9),
        ({"retry_kwargs": {"countdown": 9}, "retry_backoff": 5, "retry_jitter": False}, 1, 5),
        ({"base": EmailTask, "default_retry_delay": 30}, 1, 30),
        ({"base": EmailTask, "retry_jitter": False}, 1, 5),
    ],
)
def test_the_delay_is_the_one_that_celerys_options_name(
    make: Any, options: dict[str, Any], attempt: int, seconds: float
) -> None:
    assert outcome(run_attempt(make(fails, **options), attempt=attempt)) == ("retrying", seconds)


def test_a_bare_retry_takes_the_tasks_own_delay_else_the_default_policy(make: Any) -> None:
    assert outcome(run(make(asks, default_retry_delay=30, retry_backoff=2))) == ("retrying", 30)
    assert (run(make(asks)).retry_in_seconds or 0) <= 2


def test_an_explicit_countdown_or_eta_wins(make: Any) -> None:
    def body(self: Any, countdown: float | None = None, naive: bool = False) -> None:
        eta = datetime.now(UTC) + timedelta(seconds=60)
        raise self.retry(
            countdown=countdown, eta=None if countdown is not None else eta.replace(tzinfo=None if naive else UTC)
        )

    task = make(body, default_retry_delay=30)
    assert outcome(run(task, countdown=7)) == ("retrying", 7)
    assert outcome(run(task, countdown=0)) == ("retrying", 0)
    assert 58 < (run(task).retry_in_seconds or 0) <= 60
    assert 58 < (run(task, naive=True).retry_in_seconds or 0) <= 60


def test_an_eta_in_the_past_is_due_at_once(make: Any) -> None:
    def body(self: Any) -> None:
        raise self.retry(eta=datetime(2020, 1, 1, tzinfo=UTC))

    assert outcome(run(make(body))) == ("retrying", 0)


def test_a_retry_keeps_the_error_it_was_given_or_that_was_being_handled(make: Any) -> None:
    def given(self: Any) -> None:
        raise self.retry(exc=KeyError("given"), countdown=1)

    def handled(self: Any) -> None:
        try:
            raise LookupError("handled")
        except LookupError:
            self.retry(countdown=1)

    for body, message in ((given, "'given'"), (handled, "handled")):
        error = run(make(body)).error
        assert error is not None
        assert error["message"] == message


def test_a_spent_budget_raises_what_was_given_else_max_retries_exceeded(make: Any) -> None:
    def body(self: Any, give: bool) -> None:
        raise self.retry(exc=KeyError("given") if give else None)

    task = make(body)
    assert isinstance(run_attempt(task, [True], attempt=4).raised, KeyError)
    assert isinstance(run_attempt(task, [False], attempt=4).raised, MaxRetriesExceededError)


def test_the_calls_own_max_retries_counts_for_it(make: Any) -> None:
    def body(self: Any, most: int) -> None:
        raise self.retry(max_retries=most, countdown=1, exc=ValueError("no"))

    task = make(body, max_retries=2)
    assert run_attempt(task, [1], attempt=2).state == "failed"
    assert run_attempt(task, [5], attempt=3).state == "retrying"


@pytest.mark.parametrize(("most", "state"), [(-1, "failed"), (0, "failed"), (10**12, "retrying")])
def test_a_call_may_name_any_max_retries(make: Any, most: int, state: str) -> None:
    def body(self: Any, most: int) -> None:
        raise self.retry(max_retries=most, countdown=1)

    assert run(make(body), most).state == state


@pytest.mark.parametrize("options", [{"countdown": "5"}, {"countdown": float("nan")}, {"eta": "2030-01-01"}])
def test_a_retry_at_no_moment_is_an_error_of_the_body(make: Any, options: dict[str, Any]) -> None:
    def body(self: Any) -> None:
        raise self.retry(**options)

    ran = run(make(body))
    assert ran.state == "retrying"
    assert ran.error is not None
    assert ran.error["type"] == "TypeError"


def test_a_countdown_may_be_a_timedelta_and_wins_over_an_eta(make: Any) -> None:
    def body(self: Any) -> None:
        raise self.retry(countdown=timedelta(seconds=5), eta=datetime(2090, 1, 1, tzinfo=UTC))

    assert outcome(run(make(body))) == ("retrying", 5)


def test_a_class_given_as_the_reason_is_instantiated(make: Any) -> None:
    def body(self: Any) -> None:
        raise self.retry(exc=ConnectionError, countdown=1)

    error = run(make(body)).error
    assert error is not None
    assert error["type"] == "ConnectionError"


def test_the_same_arguments_given_again_are_no_change(make: Any) -> None:
    def body(self: Any, one: int, two: int = 2) -> None:
        if self.request.args:
            raise self.retry(args=(one,), countdown=1)
        raise self.retry(args=(one,), kwargs={"two": two}, countdown=1)

    task = make(body)
    assert run(task, 1).state == "retrying"
    assert run(task, one=1, two=3).state == "retrying"


def test_a_retry_without_throw_and_then_another_error_keeps_the_calls_budget(make: Any) -> None:
    def body(self: Any) -> None:
        self.retry(throw=False, max_retries=10, countdown=1)
        raise ValueError("after all")

    assert run_attempt(make(body), attempt=4).state == "retrying"


def test_a_body_that_goes_on_after_retry_without_throw_runs_again(make: Any) -> None:
    def body(self: Any) -> str:
        self.retry(throw=False, countdown=3)
        return "went on"

    assert outcome(run(make(body))) == ("retrying", 3)


def test_a_retry_with_other_arguments_or_options_is_a_clear_permanent_error(make: Any) -> None:
    def other_arguments(self: Any) -> None:
        raise self.retry(args=[2])

    def other_queue(self: Any) -> None:
        raise self.retry(queue="email")

    for body, named in ((other_arguments, "its arguments"), (other_queue, "queue")):
        ran = run(make(body))
        assert ran.state == "failed"
        assert ran.error is not None
        assert named in ran.error["message"]


def test_the_body_sees_its_attempt_as_celery_says_it(make: Any) -> None:
    def body(self: Any) -> list[Any]:
        return [self.request.retries, self.attempt, self.max_attempts, self.is_managed]

    assert run_attempt(make(body), attempt=3, max_attempts=7).result == [2, 3, 7, True]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_retries": None}, "max_retries=None"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_kwargs": {"eta": 1}}, "eta"),
        ({"autoretry_for": ("ValueError",)}, "autoretry_for"),
        ({"default_retry_delay": -3}, "interval_start"),
    ],
)
def test_retry_options_that_cannot_be_honoured_are_named(make: Any, options: dict[str, Any], named: str) -> None:
    task = make(fails)
    for name, value in options.items():
        setattr(task, name, value)
    with pytest.raises(OptionNotHonoured, match=named):
        RetryRules.of(task, RetryPolicy())


def test_a_base_gives_its_kind_of_retries(make: Any) -> None:
    assert RetryRules.of(make(fails, base=MaintenanceTask), RetryPolicy()).policy == RetryPolicy(
        max_retries=1, interval_step=120, interval_max=600
    )


def test_the_workers_default_policy_counts_for_tasks_without_options(make: Any) -> None:
    default = RetryPolicy.fixed(9, 1)
    assert RetryRules.of(make(fails), default).policy == default
    assert RetryRules.of(make(fails, max_retries=2), default).policy == RetryPolicy.fixed(2, 1)


def test_a_death_that_could_not_raise_follows_autoretry_for(make: Any) -> None:
    assert RetryRules.of(make(fails), RetryPolicy()).follows(TimeoutError)
    assert RetryRules.of(make(fails, autoretry_for=(OSError,)), RetryPolicy()).follows(TimeoutError)
    assert not RetryRules.of(make(fails, autoretry_for=(ValueError,)), RetryPolicy()).follows(TimeoutError)
    assert not RetryRules.of(make(fails, dont_autoretry_for=(OSError,)), RetryPolicy()).follows(TimeoutError)
