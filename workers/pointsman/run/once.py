"""A step that happens at most once across the attempts of a task.

Its record is written before the step, in Redis, beside the task's claim. So a process that dies in the step leaves a
record that it began, and no later attempt begins it again. The promise ends where Redis forgets: a server that comes
back empty, or with old data, knows nothing of what it lost.
"""

import json
import secrets
import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, NotRequired, Protocol, Self, TypedDict

from pointsman.connection import AWAY, RedisConnection
from pointsman.errors import AttemptSuperseded, OnceNotRecorded
from pointsman.run.encoding import plain
from pointsman.settings import Settings
from pointsman_contract.backoff import backoff_seconds
from pointsman_contract.keys import CONTROL, claim, once
from pointsman_contract.sealing import CannotOpen, Field, is_sealed
from pointsman_contract.signing import Forged, Purpose, step_text

RESULT_BYTES = 4 * 1024
KEY_CHARACTERS = 200
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


class Record(TypedDict):
    """What is known of a step that began."""

    call: str
    """Tells one ``with`` from another."""
    attempt: int
    finished: NotRequired[bool]
    result: NotRequired[Any]
    signed: NotRequired[str]
    """Of a finished step, where what goes through Redis is signed."""


class Records(Protocol):
    """Where the steps of one attempt are recorded."""

    def begin(self, key: str, call: str) -> Record | None:
        """None when the step may begin, else what an earlier ``with`` left."""
        ...

    def write(self, key: str, record: Record | None) -> None:
        """Replace the record; None takes it away."""
        ...


class Step:
    """One step, as ``with self.once(key) as step``. True in an ``if`` when it is to be done here and now."""

    def __init__(self, key: Any, attempt: int, records: Records) -> None:
        if not isinstance(key, str) or not 0 < len(key) <= KEY_CHARACTERS:
            raise ValueError(f"the key of a step is a string of 1 to {KEY_CHARACTERS} characters")
        self.key: str = key
        self.first = False
        """Whether the block is to do the step: nobody began it before."""
        self.finished = False
        """Whether an earlier attempt came to the end of its block. If not, it may have done the step or not."""
        self.result: Any = None
        """What that block left here: JSON as ``run.encoding`` writes it, at most 4 KiB. In the first block: what to
        leave for later attempts."""
        self._attempt = attempt
        self._records = records
        self._call = secrets.token_hex(8)
        self._forgotten = False

    def __bool__(self) -> bool:
        return self.first

    def forget(self) -> None:
        """Say that the step surely did not happen: a later attempt may do it."""
        self._records.write(self.key, None)
        self._forgotten = True

    def __enter__(self) -> Self:
        earlier = self._records.begin(self.key, self._call)
        self.first = earlier is None
        if earlier is not None:
            self.finished = bool(earlier.get("finished"))
            self.result = earlier.get("result")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.first or error is not None or self._forgotten:
            # A block that raised may have done its step all the same.
            return
        text = json.dumps(self.result, default=plain)
        record: Record = {"call": self._call, "attempt": self._attempt, "finished": True, "result": json.loads(text)}
        if len(text.encode()) > RESULT_BYTES:
            raise ValueError(f"the result of step {self.key!r} is longer than {RESULT_BYTES} bytes")
        self._records.write(self.key, record)


class RedisRecords:
    """The records of one managed attempt. Redis may be away for a while; then calls wait as the gate does.

    Both methods raise ``OnceNotRecorded`` when that lasts too long, ``begin`` also ``AttemptSuperseded``.
    """

    def __init__(self, redis: RedisConnection, settings: Settings, task: str, token: str, attempt: int) -> None:
        self._redis = redis
        self._task = task
        self._token = token
        self._attempt = attempt
        self._seconds = settings.once_seconds
        self._trust = settings.trust
        self._sealer = settings.sealer
        self._sealing = settings.sealing
        self._patience_seconds = settings.gate_wait_seconds

    def begin(self, key: str, call: str) -> Record | None:
        """None when the step may begin."""
        tail = (key, self._token, call, self._attempt, self._seconds)
        until = time.monotonic() + self._patience_seconds
        waits = 0
        while True:
            try:
                verdict, *rest = self._redis.script("once", (CONTROL, claim(self._task), once(self._task)), (), tail)
                reason = "no epoch is valid on this server"
            except AWAY as error:
                self._redis.close()
                verdict, rest, reason = "wait", [], f"Redis does not answer: {error}"
            if verdict == "first":
                return None
            if verdict == "earlier":
                record: Record = json.loads(rest[0])
                self._check(key, record)
                return self._opened(key, record)
            if verdict == "lost":
                raise AttemptSuperseded(
                    f"attempt {self._attempt} was given up by the control plane; its step is not done"
                )
            waits += 1
            _rest(waits, until, reason)

    def write(self, key: str, record: Record | None) -> None:
        """Replace the record."""
        name = once(self._task)
        if record is not None and self._sealing is not None and "result" in record:
            word = self._sealing.seal(json.dumps(record["result"]), self._task, Field.RESULT)
            record = {**record, "result": word}
        if record is not None and self._redis.stamp is not None:
            text = step_text(self._task, key, record)
            record = {**record, "signed": self._redis.stamp.signer.sign(Purpose.STEP, text)}
        words = ("HDEL", name, key) if record is None else ("HSET", name, key, json.dumps(record))
        until = time.monotonic() + self._patience_seconds
        waits = 0
        while True:
            try:
                self._redis.pipeline([words, ("EXPIRE", name, self._seconds)])
            except AWAY as error:
                self._redis.close()
                waits += 1
                _rest(waits, until, f"Redis does not answer: {error}")
            else:
                return

    def _opened(self, key: str, record: Record) -> Record:
        if not is_sealed(record.get("result"), Field.RESULT):
            return record
        if self._sealer is None:
            raise OnceNotRecorded(f"what an earlier attempt left of step {key!r} is encrypted, and there are no keys")
        try:
            return {**record, "result": json.loads(self._sealer.open(record["result"]))}
        except CannotOpen as why:
            raise OnceNotRecorded(f"what an earlier attempt left of step {key!r} cannot be opened: {why}") from None

    def _check(self, key: str, record: Record) -> None:
        """What an earlier attempt left is believed when it is signed; that one began, always: then nothing is done."""
        signature = record.pop("signed", None)
        if not self._trust.requires or self._trust.signer is None or "finished" not in record:
            return
        try:
            self._trust.signer.check_signature(Purpose.STEP, step_text(self._task, key, record), signature)
        except Forged as fault:
            raise OnceNotRecorded(f"what an earlier attempt left of step {key!r} is not believed: {fault}") from None


class MemoryRecords:
    """Records of a test, or of a plain call."""

    def __init__(self, attempt: int = 1, records: MutableMapping[str, Record] | None = None) -> None:
        self._attempt = attempt
        self._records = {} if records is None else records

    def begin(self, key: str, call: str) -> Record | None:
        """None when the step may begin."""
        earlier = self._records.get(key)
        if earlier is None:
            self._records[key] = {"call": call, "attempt": self._attempt}
        return earlier

    def write(self, key: str, record: Record | None) -> None:
        """Replace the record."""
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = json.loads(json.dumps(record))


def _rest(waits: int, until: float, reason: str) -> None:
    """Wait for the ``waits``-th time. Raises ``OnceNotRecorded`` once it is too late."""
    pause = backoff_seconds(waits, base=_FIRST_WAIT_SECONDS, cap=_LONGEST_WAIT_SECONDS, jitter=0.5)
    if time.monotonic() + pause > until:
        raise OnceNotRecorded(f"the step could not be recorded: {reason}")
    time.sleep(pause)
