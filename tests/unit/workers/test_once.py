from typing import Any

import pytest

from pointsman import celery
from pointsman.run.once import MemoryRecords, Record, Step
from pointsman.testing import run, run_attempt


@celery.task(name="unit.charge", bind=True)
def charge(self: Any, fails: bool = False) -> list[Any]:
    with self.once("charge") as step:
        if step:
            step.result = {"receipt": 7}
        if fails:
            raise ConnectionError("no answer")
    return [step.first, step.finished, step.result]


def test_the_first_attempt_does_the_step_and_the_next_gets_its_result() -> None:
    steps: dict[str, Record] = {}
    assert run_attempt(charge, once=steps).result == [True, False, {"receipt": 7}]
    assert run_attempt(charge, attempt=2, once=steps).result == [False, True, {"receipt": 7}]


def test_a_step_that_raised_is_not_done_again_and_is_not_known_to_be_done() -> None:
    steps: dict[str, Record] = {}
    assert run_attempt(charge, [True], once=steps).state == "retrying"
    assert run_attempt(charge, attempt=2, once=steps).result == [False, False, None]


def test_runs_without_a_common_dict_know_nothing_of_one_another() -> None:
    assert run(charge).result[0] is run(charge).result[0] is True


def test_a_step_that_is_forgotten_may_be_done_again() -> None:
    records = MemoryRecords()
    with Step("k", 1, records) as step:
        step.forget()
    with Step("k", 2, records) as step:
        assert step.first


def test_steps_of_other_keys_and_the_same_key_twice_in_one_attempt() -> None:
    records = MemoryRecords()
    with Step("a", 1, records) as one, Step("b", 1, records) as other, Step("a", 1, records) as again:
        assert [bool(one), bool(other), bool(again)] == [True, True, False]


def test_a_plain_call_is_always_the_first() -> None:
    assert charge()[0] is True
    assert charge()[0] is True
    assert charge.apply().get()[0] is True


@pytest.mark.parametrize("key", ["", "x" * 201, 7, None])
def test_a_key_that_is_none_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="key of a step"):
        Step(key, 1, MemoryRecords())


def test_a_result_that_is_too_long_fails_the_attempt() -> None:
    with pytest.raises(ValueError, match="longer than"), Step("k", 1, MemoryRecords()) as step:
        step.result = "x" * 5000
