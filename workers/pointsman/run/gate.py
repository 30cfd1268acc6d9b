"""May this message's task run now? One atomic call to Redis, asked again while the answer is to wait."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from celery.exceptions import Ignore, Reject

from pointsman.connection import AWAY, RedisConnection, Word, is_of_script
from pointsman.errors import ForgedClaim
from pointsman.settings import Settings
from pointsman_contract.backoff import backoff_seconds
from pointsman_contract.keys import ASK_SECONDS, BREAKERS, CLAIM_SECONDS, CONTROL, EVENTS_PREFIX, claim
from pointsman_contract.message import ManagedHeader

logger = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one attempt."""

    attempt: int
    started_at: float
    """Unix seconds on the Redis clock."""
    epochs: tuple[int, ...] = ()
    """Of the circuit breakers that were asked, in their order; empty when all are 0."""


class Gate:
    """Asks ``gate.lua`` on a connection of its own process."""

    def __init__(self, redis: RedisConnection, settings: Settings, owner: str) -> None:
        self._redis = redis
        self._owner = owner
        self._tail = (CLAIM_SECONDS, ASK_SECONDS, settings.gate_stream_entries, settings.gate_memory_percent)
        self._longest_seconds = settings.gate_wait_seconds

    def pass_(
        self,
        header: ManagedHeader,
        task: str,
        token: str,
        body: str,
        patience: "Patience",
        queue: str,
        breakers: Sequence[str] = (),
    ) -> Claim:
        """The claim of a new attempt.

        Raises ``Ignore`` when the message must not run: a duplicate, cancelled, expired, of a paused queue, held by one
        of its circuit breakers, or for Postgres to decide.
        Raises ``Reject`` with requeue when the wait lasts longer than ``patience``, and ``ForgedClaim``.
        """
        expires_at = header["expires_at"]
        head = (EVENTS_PREFIX,)
        stamp = self._redis.stamp
        tail: tuple[Word, ...] = (
            header["epoch"],
            task,
            header["after"],
            token,
            self._owner,
            repr(header["sent_at"]),
            "" if expires_at is None else repr(expires_at),
            body,
            *self._tail,
            queue,
        )
        keys = (CONTROL, claim(task), BREAKERS)
        waits = 0
        while True:
            try:
                signed = "" if stamp is None else stamp.gate(task, header["after"], body, expires_at, breakers)
                answer = self._redis.script("gate", keys, head, (*tail, signed, *breakers))
            except AWAY as error:
                if is_of_script(error):
                    # Redis is there, and one of our keys holds what the script cannot read: somebody has to mend it.
                    logger.error("the gate fails at task %s: %s", task, error)
                    answer = ["wait", f"the gate fails: {error}"]
                else:
                    self._redis.close()
                    answer = ["wait", f"Redis does not answer: {error}"]
            verdict = answer[0]
            if verdict == "run":
                if stamp is not None and int(answer[1]) != header["after"] + 1:
                    # Nobody but somebody who writes claims by hand makes it any other.
                    raise ForgedClaim(f"the claim says attempt {answer[1]} after attempt {header['after']}")
                epochs = tuple(map(int, answer[4].split(","))) if answer[4] else ()
                return Claim(attempt=int(answer[1]), started_at=float(answer[3]), epochs=epochs)
            if verdict != "wait":
                raise Ignore(f"{verdict}: dispatch {header['dispatch']} does not run")
            waits += 1
            pause = backoff_seconds(waits, base=_FIRST_WAIT_SECONDS, cap=_LONGEST_WAIT_SECONDS, jitter=0.5)
            if patience.is_over(pause):
                logger.warning("task %s goes back to its queue: waited at the gate: %s", task, answer[1])
                raise Reject(f"waited at the gate: {answer[1]}", requeue=True)
            time.sleep(pause)


class Stopping(Protocol):
    """Anything that knows whether the worker shuts down."""

    @property
    def stopping(self) -> bool:
        """True once it does."""
        ...


class Patience:
    """How long one message may wait at the gate: the time limit runs from acceptance, and a parent may shut down."""

    def __init__(self, seconds: float, stopping: Stopping) -> None:
        self._until = time.monotonic() + seconds
        self._stopping = stopping

    def is_over(self, pause_seconds: float) -> bool:
        """Whether waiting ``pause_seconds`` more would be too long."""
        return self._stopping.stopping or time.monotonic() + pause_seconds > self._until
