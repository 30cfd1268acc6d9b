"""The words for errors, as they go over the wire."""

from pointsman_contract.errors import ErrorType


def test_words_are_those_of_the_release_before() -> None:
    assert {error.value for error in ErrorType} == {
        "ArgumentsNotValid",
        "AttemptSuperseded",
        "BreakerOpen",
        "Held",
        "Interrupted",
        "NotClaimed",
        "SoftTimeLimitExceeded",
        "TimeLimitExceeded",
        "WorkerLost",
        "workers.BreakerOpen",
        "workers.TaskCancelled",
    }
