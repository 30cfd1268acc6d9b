import builtins
from concurrent.futures import BrokenExecutor

import jsonschema_rs
import pytest
from pydantic import ValidationError

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.retry import RetryPolicy


def is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


SCHEMA = jsonschema_rs.validator_for(BreakerPolicy.model_json_schema())


def test_breaker_as_people_have_it_keeps_its_exception_by_name() -> None:
    policy = BreakerPolicy.model_validate(
        {"failure_threshold": 5, "recovery_timeout": 60, "expected_exception": Exception}
    )
    assert policy == BreakerPolicy()
    assert policy.expected_exception == ("Exception",)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("ConnectionError", ("ConnectionError",)),
        ("requests.exceptions.Timeout", ("requests.exceptions.Timeout",)),
        ([TimeoutError, "a.b.C"], ("TimeoutError", "a.b.C")),
        ((BrokenExecutor,), ("concurrent.futures._base.BrokenExecutor",)),
        ("IOError", ("OSError",)),
        ("builtins.KeyError", ("KeyError",)),
        ("Fehler.Überlauf", ("Fehler.Überlauf",)),
    ],
)
def test_exception_is_a_class_or_a_name_or_several(given: object, names: tuple[str, ...]) -> None:
    assert BreakerPolicy.model_validate({"expected_exception": given}).expected_exception == names
    assert BreakerPolicy.model_validate({"ignored_exceptions": given}).ignored_exceptions == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("builtins.KeyEror", "did you mean KeyError"),
        ("ConectionError", "did you mean ConnectionError"),
        ("GatewayFell", "package.module.Class"),
        ("no name", "nor the name of one"),
        (5, "nor the name of one"),
        (int, "nor the name of one"),
        ([], "at least 1 item"),
    ],
)
def test_what_is_no_exception_is_refused(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BreakerPolicy.model_validate({"expected_exception": given})


@pytest.mark.parametrize("name", [name for name, value in vars(builtins).items() if is_exception(value)])
def test_every_exception_of_this_python_may_be_named(name: str) -> None:
    assert SCHEMA.is_valid({"expected_exception": name})
    assert BreakerPolicy.model_validate({"expected_exception": name}).expected_exception


@pytest.mark.parametrize(
    "name",
    ["B", "GatewayFell", "a.", ".a", "a..b", "1.a", "a.1", "a-b.c", "a.b\n", "é", "é.b", "ValueErrors", "€.€", "a.1b"],
)
def test_the_schema_and_the_policy_agree_on_names_of_exceptions(name: str) -> None:
    try:
        BreakerPolicy.model_validate({"expected_exception": name})
        accepted = True
    except ValidationError:
        accepted = False
    assert SCHEMA.is_valid({"expected_exception": name}) == accepted


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_threshold": 0},
        {"failure_threshold": True},
        {"recovery_timeout": 0},
        {"recovery_timeout": True},
        {"reset_timeout": 60},
    ],
)
def test_breaker_out_of_bounds_or_with_another_key_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        BreakerPolicy.model_validate(wrong)


def test_breaker_without_a_threshold_needs_a_rate() -> None:
    with pytest.raises(ValidationError, match="never opens"):
        BreakerPolicy.model_validate({"failure_threshold": None, "window_seconds": 60})
    only_rates = {"failure_threshold": None, "window_seconds": 60, "failure_rate": 0.5}
    assert BreakerPolicy.model_validate(only_rates).failure_threshold is None


def test_retry_policy_as_people_have_it_is_the_default() -> None:
    given = {"max_retries": 3, "interval_start": 0, "interval_step": 2, "interval_max": 10, "jitter": True}
    assert RetryPolicy.model_validate(given) == RetryPolicy()


@pytest.mark.parametrize(
    "wrong", [{"max_retries": -1}, {"interval_start": 11}, {"interval_max": -1}, {"interval": 1}, {"jitter": "maybe"}]
)
def test_retry_policy_out_of_bounds_or_with_another_key_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetryPolicy.model_validate(wrong)


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"failure_threshold": 5.0, "recovery_timeout": 60},
        {"failure_threshold": None, "window_seconds": 60, "failure_rate": 0.5},
        {"window_seconds": 60, "slow_call_rate": 1, "slow_call_seconds": 0.5},
        {"expected_exception": "OSError", "ignored_exceptions": []},
        {"failure_rate": None, "window_seconds": None},
    ],
)
def test_a_policy_that_fits_its_schema_is_taken(policy: dict[str, object]) -> None:
    assert SCHEMA.is_valid(policy)
    BreakerPolicy.model_validate(policy)


@pytest.mark.parametrize(
    "policy",
    [
        {"failure_rate": 0.5},
        {"failure_rate": 0.5, "window_seconds": None},
        {"window_seconds": 60, "slow_call_rate": 1},
        {"window_seconds": 60, "slow_call_seconds": 1, "slow_call_rate": None},
        {"slow_call_rate": 1, "slow_call_seconds": 1},
        {"failure_threshold": None},
        {"failure_threshold": True},
        {"failure_threshold": 5.5},
        {"expected_exception": []},
        {"expected_exception": [5]},
        {"expected_exception": "not a name"},
    ],
)
def test_a_policy_that_its_schema_forbids_is_refused(policy: dict[str, object]) -> None:
    assert not SCHEMA.is_valid(policy)
    with pytest.raises(ValidationError):
        BreakerPolicy.model_validate(policy)
