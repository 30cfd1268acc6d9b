import pytest

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import Breaker, BreakerState, Kind, Outcome, Override
from pointsman_service.breaker.of_task_type import TaskTypeBreaker

POLICY = BreakerPolicy(failure_threshold=3, recovery_timeout=60, recovery_jitter=0)
"""Three in a row over three seconds, or five at once."""
SUCCESS = Outcome(Kind.SUCCESS)


def failing(breaker: TaskTypeBreaker, *tasks: str, at: float = 0.0, apart: float = 0.0) -> TaskTypeBreaker:
    for number, task in enumerate(tasks):
        breaker = told(breaker, Outcome(Kind.FAILURE, permit=task), at + number * apart)
    return breaker


def told(breaker: Breaker, outcome: Outcome, now: float, policy: BreakerPolicy = POLICY) -> TaskTypeBreaker:
    found = breaker.record(outcome, policy, now, lambda: 0.0).breaker
    assert isinstance(found, TaskTypeBreaker)
    return found


def doubted(at: float = 0.0) -> TaskTypeBreaker:
    return failing(TaskTypeBreaker(), *"abcde", at=at)


def probed(breaker: TaskTypeBreaker, task: str, kind: Kind, now: float) -> TaskTypeBreaker:
    leased, granted = breaker.lease(task, POLICY, now)
    assert granted
    return told(leased.breaker, Outcome(kind, permit=task), now)


def opened(at: float = 0.0) -> TaskTypeBreaker:
    breaker = doubted(at)
    for task in "xyz":
        breaker = probed(breaker, task, Kind.FAILURE, at)
    return breaker


def ticked(breaker: TaskTypeBreaker, now: float) -> TaskTypeBreaker:
    found = breaker.tick(now).breaker
    assert isinstance(found, TaskTypeBreaker)
    return found


def test_a_run_of_different_tasks_makes_it_doubt_and_says_why() -> None:
    step = failing(TaskTypeBreaker(), *"abcd").record(Outcome(Kind.FAILURE, permit="e"), POLICY, 1.0)
    assert step.breaker.seen is BreakerState.HALF_OPEN
    (transition,) = step.transitions
    assert (transition.before, transition.after) == (BreakerState.CLOSED, BreakerState.HALF_OPEN)
    assert transition.reason == "5 tasks in a row failed; others are tried"


def test_fewer_do_when_the_run_lasts() -> None:
    assert failing(TaskTypeBreaker(), *"abc", apart=1.4).seen is BreakerState.CLOSED
    assert failing(TaskTypeBreaker(), *"abc", apart=1.5).seen is BreakerState.HALF_OPEN


def test_a_task_counts_once_however_often_it_fails() -> None:
    breaker = TaskTypeBreaker()
    for number in range(50):
        breaker = told(breaker, Outcome(Kind.FAILURE, permit="a", is_first=number == 0), float(number))
    assert (breaker.seen, breaker.failures) == (BreakerState.CLOSED, 1)


def test_a_success_of_any_attempt_ends_the_run() -> None:
    breaker = told(failing(TaskTypeBreaker(), *"abcd"), Outcome(Kind.SUCCESS, is_first=False), 0.0)
    assert failing(breaker, *"efgh").seen is BreakerState.CLOSED


def test_old_failures_count_no_more() -> None:
    breaker = failing(TaskTypeBreaker(), *"abcd")
    assert failing(breaker, "e", at=1860.0).failures == 1


def test_a_probe_that_succeeds_says_that_some_inputs_are_bad() -> None:
    breaker = probed(doubted(), "x", Kind.SUCCESS, 1.0)
    assert (breaker.seen, breaker.is_mistaken) == (BreakerState.CLOSED, True)
    assert breaker.accused == tuple("abcde")
    assert failing(breaker, *"fghij", at=1.0).seen is BreakerState.CLOSED, "the next doubt takes a longer run"
    assert failing(breaker, *"fghijklmnop", at=1.0).seen is BreakerState.HALF_OPEN


def test_what_it_learnt_is_forgotten() -> None:
    breaker = ticked(probed(doubted(), "x", Kind.SUCCESS, 1.0), 602.0)
    assert failing(breaker, *"fghij", at=602.0).seen is BreakerState.HALF_OPEN


def test_it_is_open_when_what_is_tried_fails_too() -> None:
    breaker = opened(at=5.0)
    assert (breaker.seen, breaker.retry_at, breaker.trips) == (BreakerState.OPEN, 65.0, 1)


def test_one_failed_probe_among_successes_opens_nothing() -> None:
    breaker = ticked(opened(), 60.0)
    for task, kind in (("a", Kind.SUCCESS), ("b", Kind.FAILURE), ("c", Kind.FAILURE), ("d", Kind.SUCCESS)):
        breaker = probed(breaker, task, kind, 60.0)
    assert breaker.seen is BreakerState.HALF_OPEN
    assert probed(breaker, "e", Kind.SUCCESS, 60.0).seen is BreakerState.CLOSED


def test_one_success_does_not_keep_it_half_open_for_ever() -> None:
    breaker = probed(ticked(opened(), 60.0), "a", Kind.SUCCESS, 60.0)
    for task in "bcdefg":
        breaker = probed(breaker, task, Kind.FAILURE, 60.0)
    assert breaker.seen is BreakerState.OPEN


def test_waits_grow_while_all_probes_fail() -> None:
    breaker, waits = opened(), []
    for _ in range(3):
        now = breaker.retry_at or 0.0
        breaker = ticked(breaker, now)
        for task in "abc":
            breaker = probed(breaker, task, Kind.FAILURE, now)
        waits.append((breaker.retry_at or 0.0) - now)
    assert waits == [120.0, 240.0, 480.0]


def test_an_open_one_tries_what_has_not_failed_and_waits_on_when_that_fails() -> None:
    breaker = opened()
    assert breaker.may_doubt(POLICY)
    step = breaker.doubt(10.0)
    assert isinstance(step.breaker, TaskTypeBreaker)
    assert not step.breaker.takes_any
    failed = probed(step.breaker, "f", Kind.FAILURE, 10.0)
    assert (failed.seen, failed.retry_at, failed.trips) == (BreakerState.OPEN, 60.0, 1)
    assert failed.epoch == breaker.epoch + 2


def test_an_open_one_closes_when_what_has_not_failed_succeeds() -> None:
    doubt = opened().doubt(10.0).breaker
    assert isinstance(doubt, TaskTypeBreaker)
    assert probed(doubt, "f", Kind.SUCCESS, 10.0).seen is BreakerState.CLOSED


def test_an_open_one_tries_only_so_many_before_its_wait_is_over() -> None:
    breaker, tried = opened(), 0
    while breaker.may_doubt(POLICY):
        doubt = breaker.doubt(10.0).breaker
        assert isinstance(doubt, TaskTypeBreaker)
        assert doubt.wants_others(POLICY), "as many as the threshold were tried already"
        breaker = probed(doubt, f"f{tried}", Kind.FAILURE, 10.0)
        tried += 1
    assert tried == 3
    assert ticked(breaker, 60.0).takes_any, "after its wait whatever is held may be tried"


def test_a_doubt_in_which_nobody_came_takes_those_that_failed() -> None:
    assert not ticked(doubted(), 59.0).takes_any
    breaker = ticked(doubted(), 60.0)
    assert (breaker.seen, breaker.takes_any) == (BreakerState.HALF_OPEN, True)


@pytest.mark.parametrize("make", [opened, doubted])
def test_a_new_worker_is_tried_at_once_with_whatever_is_held(make: object) -> None:
    assert callable(make)
    step = make().meets_new_worker(10.0)
    assert (step.breaker.seen, step.breaker.takes_any) == (BreakerState.HALF_OPEN, True)
    assert step.transitions[-1].reason == "a worker was started that offers it"


def test_a_new_worker_that_fails_as_well_lets_the_wait_go_on() -> None:
    breaker = opened().meets_new_worker(10.0).breaker
    assert isinstance(breaker, TaskTypeBreaker)
    for task in "fgh":
        breaker = probed(breaker, task, Kind.FAILURE, 10.0)
    assert (breaker.seen, breaker.retry_at, breaker.trips) == (BreakerState.OPEN, 60.0, 1)


def test_a_new_worker_makes_a_patient_one_quick_again() -> None:
    breaker = probed(doubted(), "x", Kind.SUCCESS, 1.0).meets_new_worker(2.0).breaker
    assert isinstance(breaker, TaskTypeBreaker)
    assert failing(breaker, *"fghij", at=2.0).seen is BreakerState.HALF_OPEN


def test_it_recognises_what_was_bad_before_and_forgets_it_when_its_code_changes() -> None:
    breaker = probed(doubted(), "x", Kind.SUCCESS, 1.0)
    assert (breaker.bad, breaker.well) == (tuple("abcde"), ("x",))
    doubt = failing(breaker, *(f"bad{number}" for number in range(11)), at=1.0)
    assert doubt.may_recognise
    known = doubt.recognise(2.0).breaker
    assert isinstance(known, TaskTypeBreaker)
    assert (known.seen, known.is_mistaken, known.patience, known.bad) == (BreakerState.CLOSED, True, 4, tuple("abcde"))
    renewed = doubt.meets_new_worker(2.0).breaker
    assert isinstance(renewed, TaskTypeBreaker)
    assert (renewed.may_recognise, renewed.bad) == (False, ())


def test_a_run_that_began_before_a_worker_was_started_says_nothing_of_it() -> None:
    breaker = failing(TaskTypeBreaker(), *"abcd")
    step = breaker.meets_new_worker(1.0)
    assert isinstance(step.breaker, TaskTypeBreaker)
    assert (step.transitions, step.breaker.epoch) == ((), breaker.epoch + 1), "calls under way are of the epoch before"
    late = told(step.breaker, Outcome(Kind.FAILURE, epoch=breaker.epoch, permit="e"), 1.0)
    assert failing(late, *"fghi", at=1.0).seen is BreakerState.CLOSED


def test_rates_open_it_at_once() -> None:
    policy = BreakerPolicy(failure_threshold=None, window_seconds=10, minimum_calls=4, failure_rate=0.5)
    breaker = TaskTypeBreaker()
    for task in "abcd":
        breaker = told(breaker, Outcome(Kind.FAILURE, permit=task, is_first=False), 0.0, policy)
    assert breaker.seen is BreakerState.OPEN


def test_one_that_rates_opened_keeps_its_wait_and_accuses_what_failed() -> None:
    policy = BreakerPolicy(
        failure_threshold=None, window_seconds=10, minimum_calls=6, failure_rate=0.5, recovery_jitter=0
    )
    breaker = told(TaskTypeBreaker(), SUCCESS, 0.0, policy)
    for task in "abcde":
        breaker = told(breaker, Outcome(Kind.FAILURE, permit=task), 0.0, policy)
    assert (breaker.seen, breaker.accused) == (BreakerState.OPEN, tuple("abcde"))
    assert not breaker.may_doubt(policy), "one success is no proof against a rate"
    assert ticked(breaker, policy.recovery_timeout).takes_any
    renewed = breaker.meets_new_worker(1.0).breaker
    assert renewed.seen is BreakerState.HALF_OPEN
    for task in "xyz":
        renewed = told(renewed.lease(task, policy, 1.0)[0].breaker, Outcome(Kind.SUCCESS, permit=task), 1.0, policy)
    assert isinstance(renewed, TaskTypeBreaker)
    assert (renewed.seen, renewed.is_by_rates) == (BreakerState.CLOSED, False)


def test_a_doubt_after_an_opening_by_rates_is_a_doubt() -> None:
    policy = POLICY.model_copy(update={"window_seconds": 10.0, "minimum_calls": 4, "slow_call_seconds": 1.0})
    policy = policy.model_copy(update={"slow_call_rate": 1.0})
    breaker = TaskTypeBreaker()
    for _ in range(4):
        breaker = told(breaker, Outcome(Kind.SUCCESS, run_seconds=2.0), 0.0, policy)
    assert (breaker.seen, breaker.may_doubt(policy), breaker.accused) == (BreakerState.OPEN, False, ())
    closed = breaker.close(100.0, "a test").breaker
    assert isinstance(closed, TaskTypeBreaker)
    again = failing(closed, *"abcde", at=101.0)
    assert (again.is_first_doubt, again.is_by_rates) == (True, False)


def test_what_is_set_by_hand_stands_above_a_doubt() -> None:
    forced = doubted().force(Override(BreakerState.FORCED_OPEN, "ada", "because"), 1.0).breaker
    assert isinstance(forced, TaskTypeBreaker)
    assert (forced.seen, forced.may_doubt(POLICY), forced.is_first_doubt) == (BreakerState.FORCED_OPEN, False, False)
    assert not forced.lease("x", POLICY, 1.0)[1]
