"""Children that died with an attempt in hand: their parent reports it, from what their slots say."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from redis.exceptions import ResponseError

from pointsman.connection import RedisConnection
from pointsman.node.keeper import Keeper, Note, Outcome
from pointsman.node.node import Node
from pointsman.node.slots import Phase, Run, Snapshot
from pointsman.run.report import failed, kind_of, report_once
from pointsman.task_type.causes import class_names
from pointsman.task_type.dependencies import breaker_of, verdict_of
from pointsman.task_type.retrying import RetryRules
from pointsman_contract.dependencies import breakers_of
from pointsman_contract.errors import ErrorType
from pointsman_contract.event_text import body_text, outcome_text
from pointsman_contract.events import ErrorBody, EventKind, StartedBody, UnclaimedBody
from pointsman_contract.keys import claim
from pointsman_contract.processes import is_alive

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.05
"""A signal to every process of a node may end a child before its parent came to hear it."""
_EARLY_SECONDS = 0.1
"""The child's clock of its limit starts a little after Celery's."""


class LostChildren:
    """Finds dead children and reports what they ran."""

    def __init__(self, node: Node, redis: RedisConnection, keeper: Keeper, rules: Mapping[str, RetryRules]) -> None:
        self._rules = rules
        self._node = node
        self._redis = redis
        self._keeper = keeper

    def run_once(self) -> None:
        """One pass over the slots. Raises one of ``pointsman.connection.AWAY``; the next pass goes on."""
        dead = [slot for slot in self._node.slots.taken() if not is_alive(slot.pid)]
        if any(slot.run is not None for slot in dead) and not self._node.slots.stopping:
            time.sleep(_SETTLE_SECONDS)
        for slot in dead:
            # The child's last words were written before it died: read them again, now that nobody writes.
            slot = next((again for again in self._node.slots.taken() if again.index == slot.index), slot)
            if slot.run is None or self._report(slot, slot.run):
                self._node.slots.free(slot.index)

    def _report(self, slot: Snapshot, run: Run) -> bool:
        """Whether the slot may be freed: its attempt is reported, or was not this child's."""
        try:
            state, token, attempt, started_at = self._redis.command(
                "HMGET", claim(run.task), "state", "token", "attempt", "started_at"
            )
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            # Somebody made another type of it; the report writes it anew.
            state = token = attempt = started_at = None
        ours = token == run.token
        if slot.phase is Phase.ASKING and not ours:
            self._keeper.note(self._dropped(run))
            return True
        if ours and state == "done":
            return True
        if slot.phase is Phase.ASKING:
            run = replace(run, attempt=int(attempt), started_at=float(started_at), body_at=run.accepted_at)
        outcome = self._parked(slot, run) or self._death(slot, run)
        reason = report_once(self._redis, self._keeper, outcome)
        if reason is not None:
            named = {"task_id": run.task, "task_type": run.task_type, "queue": run.queue, "attempt": run.attempt}
            logger.warning("task %s of a dead child is not reported yet: %s", run.task, reason, extra=named)
        return reason is None

    def _dropped(self, run: Run) -> Note:
        """What is reported of a run whose message is acknowledged and that nobody runs: it is sent again, but not for
        ever, for a message may kill every process at the gate.
        """
        if self._node.slots.stopping:
            return Note(EventKind.ASK, run.task, body_text(self._about(run)))
        body: UnclaimedBody = {**self._about(run), "reason": "the worker process died before it had the claim"}
        return Note(EventKind.UNCLAIMED, run.task, body_text(body))

    def _about(self, run: Run) -> StartedBody:
        return {
            "task_type": run.task_type,
            "queue": run.queue,
            "worker": self._node.owner,
            "dispatch": run.dispatch,
        }

    def _parked(self, slot: Snapshot, run: Run) -> Outcome | None:
        text = self._node.slots.parked(slot.index)
        if text is None:
            return None
        attempt, kind, body, verdict = json.loads(text)
        return Outcome(run.task, attempt, run.token, kind, body, tuple(verdict))

    def _death(self, slot: Snapshot, run: Run) -> Outcome:
        now = time.monotonic()
        limit = run.hard_limit_seconds
        timed_out = bool(limit) and now - run.accepted_at >= limit - _EARLY_SECONDS
        terminated_by = dict(self._node.terminated).get(run.task)
        cancelled = terminated_by is not None or self._node.slots.is_cancelled(slot.index, run.token)
        if self._node.slots.stopping and not timed_out and not cancelled:
            return self._interruption(slot, run, now)
        error: ErrorBody
        if timed_out:
            error = {
                "type": ErrorType.TIME_LIMIT,
                "message": f"the task ran longer than its time limit of {limit:g} s",
                "traceback": "",
            }
        elif cancelled:
            error = {
                "type": ErrorType.CANCELLED,
                "message": "the task was cancelled while it ran, did not end in time, and was killed"
                if terminated_by is None
                else f"the task was killed by {terminated_by}",
                "traceback": "",
            }
        else:
            error = {
                "type": ErrorType.WORKER_LOST,
                "message": "the worker process died while it ran the task (killed, out of memory, or crashed)",
                "traceback": "",
            }
        retry_in = None if cancelled else self._retry_in(run, timed_out=timed_out)
        ending = failed(error, retry_in_seconds=retry_in, timed_out=timed_out)
        if not cancelled:
            # Of a time limit the dependency that was being called; a crash is the task type's own.
            breaker = breaker_of(slot.calling) if timed_out and slot.calling else breakers_of(run.task_type, ())[0]
            names = class_names(TimeLimitExceeded() if timed_out else WorkerLostError())
            ending |= {"breakers": {breaker: None}, "blamed": [breaker], "error_classes": names}
        body = outcome_text(body_text(self._about(run)), run.started_at, now - run.body_at, ending)
        logger.error("task %s[%s] attempt %d: %s", run.task_type, run.task, run.attempt, error["message"])
        return Outcome(run.task, run.attempt, run.token, kind_of(ending), body, verdict_of(ending))

    def _interruption(self, slot: Snapshot, run: Run, now: float) -> Outcome:
        """What an operator stops spends no attempt and counts for no breaker: a probe only gives its permit back."""
        error: ErrorBody = {
            "type": ErrorType.INTERRUPTED,
            "message": "its worker was stopped while it ran",
            "traceback": "",
        }
        # To a recorder of the version before it is a failure that is retried at once.
        ending = failed(error, retry_in_seconds=0.0)
        ending["interrupted"] = True
        asked = breakers_of(run.task_type, ())
        ending["breakers"] = dict.fromkeys([*asked, breaker_of(slot.calling)] if slot.calling else asked)
        body = outcome_text(body_text(self._about(run)), run.started_at, now - run.body_at, ending)
        logger.warning(
            "task %s[%s] attempt %d was interrupted: its node is stopped", run.task_type, run.task, run.attempt
        )
        return Outcome(run.task, run.attempt, run.token, kind_of(ending), body)

    def _retry_in(self, run: Run, *, timed_out: bool) -> float | None:
        """A crash is not the task's own error: only the budget of attempts ends such retries."""
        rules = self._rules.get(run.task_type)
        if rules is None or (timed_out and not rules.follows(TimeLimitExceeded)):
            return None
        return rules.policy.delay(max(1, run.attempt - run.interruptions))
