"""Requests to cancel what this node runs: the parent tells the child, and after the grace time it kills it.

A request is about a task, and stands in its claim. The child is told through its slot, by the token of its run, so that
a request never reaches the run after it. Before a child is killed it is stopped, and its slot is read again: only while
it still shows that run does it die.
"""

import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis.exceptions import ResponseError

from pointsman.connection import RedisConnection
from pointsman.node.node import Node
from pointsman.node.slots import Phase, Run, Snapshot
from pointsman_contract.keys import CONTROL, claim
from pointsman_contract.signing import Forged, Purpose, cancel_text

logger = logging.getLogger(__name__)

_STOP_SECONDS = 0.2
"""How long a child may take to stop; one that does not is tried again in the next pass."""
_LOOK_AGAIN_SECONDS = 0.001


class CancelRequests:
    """Finds requests for the runs of this node's children and has them obeyed."""

    def __init__(self, node: Node, redis: RedisConnection) -> None:
        self._node = node
        self._redis = redis
        self._seen: dict[str, float] = {}
        self._doubted: deque[str] = deque(maxlen=100)

    def run_once(self) -> None:
        """One pass: one round trip while anything runs. Raises one of ``pointsman.connection.AWAY``."""
        running = [(slot, slot.run) for slot in self._node.slots.taken() if slot.phase is Phase.RUNNING and slot.run]
        if not running:
            self._seen.clear()
            return
        try:
            answers = self._redis.pipeline([("HMGET", claim(run.task), "token", "cancel") for _, run in running])
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            # Somebody made another type of a claim. A node that could not look past it would be taken for dead.
            self._restore([run for _, run in running])
            return
        seen = {}
        for (slot, run), (token, request) in zip(running, answers, strict=True):
            if token != run.token or request is None:
                continue
            grace, _, signature = request.partition(" ")
            if not self._believes(run, grace, signature):
                continue
            seen[run.token] = self._seen.get(run.token, time.monotonic())
            self._node.slots.cancel(slot.index, run.token)
            if time.monotonic() - seen[run.token] >= float(grace):
                self._end(slot, run)
        self._seen = seen

    def _believes(self, run: Run, grace: str, signature: str) -> bool:
        """Whether somebody asked who may."""
        trust = self._node.settings.trust
        if trust.signer is None:
            return True
        try:
            trust.signer.check_signature(Purpose.CANCEL, cancel_text(run.task, grace), signature or None)
        except Forged as fault:
            said = "is not obeyed" if trust.requires else "is obeyed all the same"
            if run.token not in self._doubted:
                logger.error("a request to end task %s[%s] %s: %s", run.task_type, run.task, said, fault)
                self._doubted.append(run.token)
            return not trust.requires
        return True

    def _restore(self, running: Sequence[Run]) -> None:
        """Write the claims anew that are none any more."""
        epoch = self._redis.command("HGET", CONTROL, "epoch") or ""
        calls = [((CONTROL, claim(run.task)), (epoch,), (run.attempt, run.token, self._node.owner)) for run in running]
        self._redis.scripts("restore", calls)

    def _end(self, slot: Snapshot, run: Run) -> None:
        if slot.pid == self._node.pid:
            # A pool of threads runs tasks in this very process: there only the body itself can end.
            return
        if end_run(self._node, slot, run):
            logger.warning(
                "task %s[%s] attempt %d was cancelled and did not end in time: its process is killed",
                run.task_type,
                run.task,
                run.attempt,
            )


def end_run(node: Node, slot: Snapshot, run: Run) -> bool:
    """Kill the child in a slot if it still runs that, and nothing else. Whether it was killed."""
    try:
        os.kill(slot.pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    kill = False
    try:
        if _has_stopped(slot.pid):
            now = node.slots.look(slot.index)
            kill = now.pid == slot.pid and now.phase is Phase.RUNNING and now.run is not None
            kill = kill and now.run is not None and now.run.token == run.token
    finally:
        # SIGCONT also takes back a stop that has not happened yet.
        with suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL if kill else signal.SIGCONT)
    return kill


def _has_stopped(pid: int) -> bool:
    """Whether the process stands still: the signal takes effect only once the process gets to it."""
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        state = _state(pid)
        if state in ("t", "T"):
            return True
        if state in ("", "Z", "X"):
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return False


def _state(pid: int) -> str:
    """The letter of the process's state; empty when there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            # The state follows the name, which stands in brackets and may hold anything.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
    words = ["/bin/ps", "-o", "state=", "-p", str(pid)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    return told.stdout.strip()[:1]
