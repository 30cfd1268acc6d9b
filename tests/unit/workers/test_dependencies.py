"""Which circuit breaker a failure counts for."""

from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
from celery.exceptions import MaxRetriesExceededError, Retry

from pointsman.connection import RedisConnection
from pointsman.errors import BreakerOpen, PermanentError, RefusedByDependency
from pointsman.shipped.tasks.diagnostics import DeliberateFailure
from pointsman.task_type.causes import call_not_made, class_names
from pointsman.task_type.dependencies import Dependencies
from pointsman_contract.breaker_entry import BLOCKS, PASSES, body_of, encode
from pointsman_contract.breaker_policy import BreakerPolicy

TYPE = "task_type:letter"
SMTP = "dependency:smtp"


class Stand:
    """Where Redis and the slot would be."""

    def __init__(self, entries: dict[str, str] | None = None) -> None:
        self.entries = entries or {}
        self.asked: list[str] = []
        self.shown: list[str] = []

    def command(self, _: str, __: str, breaker: str) -> str | None:
        self.asked.append(breaker)
        return self.entries.get(breaker)

    def close(self) -> None:
        pass

    def show_calling(self, dependency: str) -> None:
        self.shown.append(dependency)


def of(*named: str, stand: Stand | None = None, epochs: tuple[int, ...] = ()) -> Dependencies:
    stand = stand or Stand()
    return Dependencies("task-1", "letter", named, epochs, cast(RedisConnection, stand), stand)


def entry(mark: str, epoch: int) -> str:
    return encode(mark, epoch, body_of(BreakerPolicy(), "open", None, {}, 0))


def test_a_failure_counts_for_the_task_type() -> None:
    assert of().blamed(ValueError(), ()) == TYPE
    assert of("smtp", "db").blamed(ConnectionError(), ()) == TYPE, "nobody knows which of the two"


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), OSError(), httpx.ConnectTimeout(""), httpx.ReadError("")]
)
def test_a_failure_like_the_other_sides_counts_for_the_only_dependency(error: Exception) -> None:
    assert of("smtp").blamed(error, ()) == SMTP


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), ValueError()])
def test_other_failures_of_a_task_with_one_dependency_count_for_the_type(error: Exception) -> None:
    assert of("smtp").blamed(error, ()) == TYPE


def failing(dependencies: Dependencies, error: BaseException, *names: str) -> None:
    first, *rest = names
    with dependencies.calling(first):
        if rest:
            failing(dependencies, error, *rest)
        raise error


def wrapped(error: Exception) -> Exception:
    try:
        raise RuntimeError("in other words") from error
    except RuntimeError as found:
        return found


def wrapped_from_none(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception:
            raise RuntimeError("in other words") from None
    except RuntimeError as found:
        return found


@pytest.mark.parametrize(
    "raised", [lambda error: error, wrapped, wrapped_from_none, lambda error: Retry(exc=error, when=cast(Any, 1.0))]
)
def test_a_failure_inside_of_calling_counts_for_what_was_called(raised: Callable[[Exception], Exception]) -> None:
    error = ValueError()
    dependencies = of("smtp", "db")
    with pytest.raises(ValueError):
        failing(dependencies, error, "db")
    assert dependencies.blamed(raised(error), ()) == "dependency:db"


def test_a_failure_that_was_caught_is_not_blamed_for_another() -> None:
    dependencies = of("smtp", "db")
    with pytest.raises(OSError):
        failing(dependencies, OSError(), "db")
    assert dependencies.blamed(ValueError(), ()) == TYPE


def test_of_calls_inside_of_one_another_the_innermost_is_blamed() -> None:
    stand = Stand()
    dependencies = of("smtp", "db", stand=stand)
    error = OSError("of db")
    with pytest.raises(OSError):
        failing(dependencies, error, "smtp", "db")
    assert dependencies.blamed(error, ()) == "dependency:db"
    assert stand.shown == ["smtp", "db", "smtp", ""]


@pytest.mark.parametrize(
    "error",
    [PermanentError(), MaxRetriesExceededError(), Retry(when=cast(Any, 1.0)), Retry(exc=PermanentError())],
    ids=["permanent", "asked too often", "asked to come again", "permanent, asked again"],
)
def test_wrong_arguments_and_bare_retries_are_nobodys_failure(error: BaseException) -> None:
    assert of("smtp").blamed(error, ()) is None


def test_a_call_that_was_not_made_is_nobodys_failure() -> None:
    dependencies = of("smtp", stand=Stand({"dependency:db": entry(BLOCKS, 3)}), epochs=(0, 0))
    with pytest.raises(BreakerOpen) as raised, dependencies.calling("smtp"), dependencies.calling("db"):
        pytest.fail("the call was made")
    assert dependencies.blamed(raised.value, ()) is None
    assert dependencies.blamed(Retry(exc=raised.value), ()) is None


def test_what_the_task_ignores_is_nobodys_failure() -> None:
    assert of().blamed(KeyError(), (LookupError,)) is None


def test_a_refusal_is_an_answer() -> None:
    dependencies = of("smtp")
    error = RefusedByDependency("550 no such user")
    with pytest.raises(RefusedByDependency):
        failing(dependencies, error, "smtp")
    assert dependencies.blamed(error, ()) is None
    assert dependencies.answered == [SMTP]


def test_the_gate_has_asked_what_was_named_and_nobody_asks_again() -> None:
    stand = Stand({SMTP: entry(BLOCKS, 3)})
    dependencies = of("smtp", stand=stand, epochs=(0, 2))
    with dependencies.calling("smtp"):
        pass
    assert stand.asked == []
    assert dependencies.breakers == {TYPE: 0, SMTP: 2}


def test_a_call_nobody_named_asks_its_breaker_once_and_counts_for_it() -> None:
    stand = Stand({SMTP: entry(PASSES, 4)})
    dependencies = of(stand=stand)
    for _ in range(2):
        with dependencies.calling("smtp"):
            pass
    assert stand.asked == [SMTP]
    assert dependencies.breakers == {TYPE: 0, SMTP: 4}


def test_a_call_nobody_named_is_not_made_while_its_breaker_is_open() -> None:
    dependencies = of(stand=Stand({SMTP: entry(BLOCKS, 3)}))
    with pytest.raises(BreakerOpen) as raised, dependencies.calling("smtp"):
        pytest.fail("the call was made")
    assert call_not_made(wrapped(raised.value)) is raised.value
    assert call_not_made(Retry(exc=raised.value)) is raised.value
    assert call_not_made(ValueError()) is None
    assert SMTP not in dependencies.breakers


def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="letters"), of().calling("a/b"):
        pytest.fail("it was taken")


def test_classes_are_named_as_a_policy_names_them() -> None:
    assert class_names(ConnectionRefusedError()) == [
        "ConnectionRefusedError",
        "ConnectionError",
        "OSError",
        "Exception",
        "BaseException",
    ]
    assert class_names(httpx.ConnectError(""))[0] == "httpx.ConnectError"
    assert BreakerPolicy(expected_exception=("OSError",)).counts(class_names(ConnectionRefusedError()))


@pytest.mark.parametrize("stored", ["pointsman.PermanentError", "workers.PermanentError"])
def test_a_stored_policy_knows_our_exceptions_by_their_former_names_too(stored: str) -> None:
    assert BreakerPolicy(expected_exception=(stored,)).counts(class_names(RefusedByDependency()))


@pytest.mark.parametrize(
    "stored",
    ["pointsman.tasks.diagnostics.DeliberateFailure", "workers.tasks.diagnostics.DeliberateFailure"],
)
def test_a_stored_policy_knows_the_exceptions_of_shipped_tasks_from_before_they_moved(stored: str) -> None:
    assert BreakerPolicy(expected_exception=(stored,)).counts(class_names(DeliberateFailure()))
