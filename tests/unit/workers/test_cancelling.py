import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman.node.node import Node
from pointsman.node.slots import Phase, Run, Slot, Slots
from pointsman.parent.cancelling import CancelRequests, end_run
from pointsman.settings import Settings
from pointsman_contract.keys import claim

RUN = Run("t1", "a" * 32, "noop", "email", 1, 0.0, 0.0, attempt=1, started_at=5.0)
NEXT = Run("t2", "b" * 32, "noop", "email", 1, 0.0, 0.0, attempt=1, started_at=6.0)


class Claims:
    """Claims by key, with how often they were asked for."""

    def __init__(self, **claims: list[str | None]) -> None:
        self.claims = {claim(task): fields for task, fields in claims.items()}
        self.asked = 0

    def pipeline(self, commands: list[tuple[str, ...]]) -> list[list[str | None]]:
        self.asked += 1
        return [self.claims.get(words[1], [None, None]) for words in commands]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def node() -> Node:
    return Node("n@h", Settings(), Slots(2), 1, ["email"])


def slot_of(node: Node, pid: int, run: Run = RUN) -> Slot:
    slot = node.slots.take(pid)
    slot.show(Phase.RUNNING, run)
    return slot


def requests(node: Node, claims: Claims) -> CancelRequests:
    connection: Any = claims
    return CancelRequests(node, connection)


def test_a_run_learns_of_its_request_and_the_next_one_in_that_child_does_not(node: Node) -> None:
    slot = slot_of(node, 42)
    assert not slot.is_cancelled(RUN.token)
    requests(node, Claims(t1=[RUN.token, "60"])).run_once()
    assert slot.is_cancelled(RUN.token)
    assert not slot.is_cancelled(NEXT.token)


def test_a_claim_of_another_attempt_cancels_nothing(node: Node) -> None:
    slot = slot_of(node, 42)
    requests(node, Claims(t1=["another", "0"])).run_once()
    assert not slot.is_cancelled(RUN.token)


def test_nothing_is_asked_while_nothing_runs(node: Node) -> None:
    node.slots.take(42)
    claims = Claims()
    requests(node, claims).run_once()
    assert claims.asked == 0


def test_a_child_that_does_not_end_in_time_is_killed(node: Node, child: subprocess.Popen[bytes]) -> None:
    slot_of(node, child.pid)
    claims = Claims(t1=[RUN.token, "60"])
    cancels = requests(node, claims)
    cancels.run_once()
    assert child.poll() is None
    claims.claims[claim("t1")] = [RUN.token, "0"]
    cancels.run_once()
    assert child.wait(10) == -signal.SIGKILL


def test_a_child_that_runs_the_next_task_is_not_killed(node: Node, child: subprocess.Popen[bytes]) -> None:
    slot = slot_of(node, child.pid)
    (seen,) = node.slots.taken()
    slot.show(Phase.RUNNING, NEXT)
    assert not end_run(node, seen, RUN)
    assert child.poll() is None
    # It was stopped for the look and goes on: it still answers.
    child.communicate(b"\n", timeout=10)
    assert child.returncode == 0


def test_a_child_that_has_reported_is_not_killed(node: Node, child: subprocess.Popen[bytes]) -> None:
    slot = slot_of(node, child.pid)
    (seen,) = node.slots.taken()
    slot.clear()
    assert not end_run(node, seen, RUN)
    child.communicate(b"\n", timeout=10)
    assert child.returncode == 0


def test_a_dead_child_is_not_killed_again(node: Node, child: subprocess.Popen[bytes]) -> None:
    slot_of(node, child.pid)
    (seen,) = node.slots.taken()
    child.kill()
    child.wait()
    assert not end_run(node, seen, RUN)


def test_a_pool_of_threads_does_not_kill_its_own_process(node: Node) -> None:
    slot = slot_of(node, os.getpid())
    requests(node, Claims(t1=[RUN.token, "0"])).run_once()
    assert slot.is_cancelled(RUN.token)
