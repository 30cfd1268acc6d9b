"""What Redis knows of circuit breakers, kept as Postgres says: the gate and the reports of workers act on it.

Level-triggered: whatever Redis forgot, or a worker opened, is found by comparing. What ``report.lua`` opened stays
until the recorder has passed the failure that opened it; then Postgres has the last word.
"""

import time
from collections.abc import Mapping

from pointsman_contract import keys
from pointsman_contract.breaker_entry import (
    BLOCKS,
    DEFAULT_FIELD,
    PASSES,
    PROBES,
    body_of,
    encode,
    epoch_of,
    provisional_of,
    run_body,
)
from pointsman_contract.breaker_run import run_that_opens
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.breaker.registry import Registry
from pointsman_service.redis import RedisServer, Word
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs

_PATIENCE_SECONDS = 300.0
"""A failure that the recorder has not passed by then, while Postgres answers, was none."""
_MARKS = {
    BreakerState.CLOSED: PASSES,
    BreakerState.DISABLED: PASSES,
    BreakerState.HALF_OPEN: PROBES,
    BreakerState.OPEN: BLOCKS,
    BreakerState.FORCED_OPEN: BLOCKS,
}


class Snapshot:
    """Written by any process: an entry is replaced only while it is what the writer saw before it asked Postgres."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._registry = Registry(store, settings)
        self._most_counted = settings.breakers_most
        self._waits: dict[tuple[bytes, bytes], float] = {}

    async def push(self) -> list[Entry]:
        """Make Redis say what Postgres says. Returns the breakers that are more than closed with the default policy, as
        of now. Raises ``BrokerAway``.
        """
        flat, counted = await self._server.pipeline([("HGETALL", keys.BREAKERS), ("HLEN", keys.BREAKER_FAILURES)])
        seen: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        if counted > self._most_counted:
            # Somebody calls ever new names. They are counted anew.
            await self._server.command("DEL", keys.BREAKER_FAILURES)
        positions: Mapping[str, str] = {}
        provisional = {field: text for field, text in seen.items() if _provisional(text) is not None}
        if provisional:
            # Before the breakers: what the recorder has passed then, they know.
            async with self._store.statement() as connection:
                positions = await epochs.positions(connection)
        now = time.monotonic()
        self._waits = {entry: self._waits.get(entry, now) for entry in provisional.items()}
        entries = await self._registry.unusual()
        wanted = {_field(entry).encode(): entry_of(entry).encode() for entry in entries}
        default = body_of(self._registry.default_policy, "closed", None, {}, 0)
        # Breakers of task types that have no entry are judged by it too.
        default["run"] = run_body(run_that_opens(self._registry.default_policy))
        wanted[DEFAULT_FIELD.encode()] = encode(PASSES, 0, default).encode()
        words: list[Word] = []
        for field in sorted(seen.keys() | wanted.keys()):
            before, after = seen.get(field, b""), wanted.get(field, b"")
            waited = now - self._waits.get((field, before), now)
            if before != after and (waited > _PATIENCE_SECONDS or _is_passed(before, positions)):
                words += (field, before, after, int(_epoch(before) != _epoch(after)))
        if words:
            await self._server.script("breakers", [keys.BREAKERS, keys.BREAKER_FAILURES], [], words)
        return entries


def entry_of(entry: Entry) -> str:
    """What the gate and the reports are told of a breaker."""
    breaker = entry.breaker
    permits = breaker.permits if breaker.seen is BreakerState.HALF_OPEN else {}
    body = body_of(entry.policy, str(breaker.seen), breaker.lets_through_at, permits, breaker.trips)
    if isinstance(breaker, TaskTypeBreaker):
        body["run"] = run_body(breaker.run_that_opens(entry.policy))
    return encode(_MARKS[breaker.seen], breaker.epoch, body)


def _field(entry: Entry) -> str:
    return ":".join(entry.key)


def _epoch(entry: bytes) -> int:
    try:
        return epoch_of(entry.decode()) if entry else 0
    except ValueError:
        return 0


def _provisional(entry: bytes) -> tuple[int, tuple[int, int]] | None:
    """Which failure opened it, when a worker did: the epoch of Redis and the place in its stream. None also for what is
    no entry: nothing keeps that.
    """
    try:
        opened = provisional_of(entry.decode()) if entry else None
        return None if opened is None else (opened[0], epochs.order(opened[1]))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _is_passed(entry: bytes, positions: Mapping[str, str]) -> bool:
    """Whether the recorder has passed what opened it, if a worker did."""
    opened = _provisional(entry)
    if opened is None:
        return True
    if not positions:
        return False
    reading = min(int(stream.removeprefix(keys.EVENTS_PREFIX)) for stream in positions)
    epoch, place = opened
    if reading != epoch:
        return reading > epoch
    return epochs.order(positions[keys.events(epoch)]) >= place
