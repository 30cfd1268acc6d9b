import os
import signal

import pytest

from pointsman.node.slots import Phase, Run, Slots, SlotsFull
from pointsman_contract.processes import is_alive

RUN = Run(
    task="018f-task",
    token="a" * 32,
    task_type="send_größe",
    queue="email",
    dispatch=7,
    accepted_at=12.5,
    hard_limit_seconds=300.0,
    attempt=2,
    started_at=1.75e9,
    body_at=13.0,
    interruptions=2,
)


def test_new_slot_shows_an_idle_child() -> None:
    slots = Slots(2)
    slots.take(42)
    (seen,) = slots.taken()
    assert (seen.pid, seen.phase, seen.run, seen.kept) == (42, Phase.IDLE, None, 0)


def test_run_is_read_as_it_was_shown() -> None:
    slots = Slots(2)
    slots.take(42).show(Phase.RUNNING, RUN)
    (seen,) = slots.taken()
    assert seen.phase is Phase.RUNNING
    assert seen.run == RUN


def test_cleared_slot_shows_nothing() -> None:
    slots = Slots(1)
    slot = slots.take(42)
    slot.show(Phase.RUNNING, RUN)
    slot.park("outcome")
    slot.clear()
    (seen,) = slots.taken()
    assert seen.run is None
    assert slots.parked(0) is None


def test_what_a_child_calls_is_shown_until_its_run_is_over() -> None:
    slots = Slots(1)
    slot = slots.take(42)
    slot.show(Phase.RUNNING, RUN)
    slot.show_calling("api.weather.com:8443")
    (seen,) = slots.taken()
    assert seen.calling == "api.weather.com:8443"
    slot.show_calling("smtp")
    (seen,) = slots.taken()
    assert (seen.calling, seen.run) == ("smtp", RUN)
    slot.clear()
    slot.show(Phase.RUNNING, RUN)
    (seen,) = slots.taken()
    assert seen.calling == ""


def test_parked_outcome_is_read_back() -> None:
    slots = Slots(1)
    assert slots.take(42).park('["größe"]')
    assert slots.parked(0) == '["größe"]'


def test_outcome_that_is_too_long_is_not_parked() -> None:
    slots = Slots(1)
    assert not slots.take(42).park("x" * 1_000_000)
    assert slots.parked(0) is None


def test_one_child_more_than_slots_is_refused() -> None:
    slots = Slots(1)
    slots.take(1)
    with pytest.raises(SlotsFull):
        slots.take(2)


def test_freed_slot_is_taken_again_and_empty() -> None:
    slots = Slots(1)
    slot = slots.take(1)
    slot.show(Phase.RUNNING, RUN)
    slot.show_kept(3, 9)
    slots.free(0)
    assert list(slots.taken()) == []
    slots.take(2)
    (seen,) = slots.taken()
    assert (seen.pid, seen.run, seen.kept, seen.kept_epoch) == (2, None, 0, 0)


def test_slot_of_a_child_that_leaves_is_free() -> None:
    slots = Slots(1)
    slots.take(1).release()
    assert list(slots.taken()) == []


def test_slot_with_an_attempt_is_not_given_back() -> None:
    slots = Slots(1)
    slot = slots.take(1)
    slot.show(Phase.RUNNING, RUN)
    slot.release()
    (seen,) = slots.taken()
    assert seen.run == RUN


def test_kept_outcomes_are_shown_with_their_epoch() -> None:
    slots = Slots(1)
    slots.take(1).show_kept(5, 2**40)
    (seen,) = slots.taken()
    assert (seen.kept, seen.kept_epoch) == (5, 2**40)


def test_longest_names_do_not_spill_into_one_another() -> None:
    slots = Slots(2)
    long = Run("t" * 64, "k" * 32, "ü" * 200, "q" * 63, 1, 0.0, 0.0)
    slots.take(1).show(Phase.ASKING, long)
    slots.take(2).show(Phase.RUNNING, RUN)
    assert [seen.run for seen in slots.taken()] == [long, RUN]


def test_forked_child_is_seen_by_its_parent() -> None:
    slots = Slots(1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        slots.take(os.getpid()).show(Phase.RUNNING, RUN)
        os.write(write, b"x")
        signal.pause()
    try:
        assert os.read(read, 1) == b"x"
        (seen,) = slots.taken()
        assert (seen.pid, seen.run) == (pid, RUN)
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(pid), "a zombie is dead"
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    assert not is_alive(pid)


def test_children_learn_that_the_parent_stops() -> None:
    slots = Slots(1)
    assert not slots.stopping
    slots.stop_waiting()
    assert slots.stopping
