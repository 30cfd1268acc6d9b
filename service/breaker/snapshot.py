"""What Redis knows of circuit breakers, kept as Postgres says: the gate and the reports of workers act on it.

Level-triggered: whatever Redis forgot, or a worker opened, is found by comparing. What ``report.lua`` opened stays
until the recorder has passed the failure that opened it; then Postgres has the last word.
"""

from collections.abc import Mapping

from contract import keys
from contract.breaker_entry import BLOCKS, DEFAULT_FIELD, PASSES, PROBES, body_of, encode, epoch_of, provisional_of
from service.breaker.breaker import BreakerState
from service.breaker.entry import Entry
from service.breaker.registry import Registry
from service.redis import RedisServer, Word
from service.settings import Settings
from service.store import epochs
from service.store.store import Store

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

    async def push(self) -> list[Entry]:
        """Make Redis say what Postgres says. Returns the breakers that are more than closed with the default policy, as
        of now. Raises ``BrokerAway``.
        """
        flat, counted = await self._server.pipeline([("HGETALL", keys.BREAKERS), ("HLEN", keys.BREAKER_FAILURES)])
        seen = {flat[i].decode(): flat[i + 1].decode(errors="replace") for i in range(0, len(flat), 2)}
        if counted > self._most_counted:
            # Somebody calls ever new names. They are counted anew.
            await self._server.command("DEL", keys.BREAKER_FAILURES)
        positions: Mapping[str, str] = {}
        if any(map(_is_provisional, seen.values())):
            # Before the breakers: what the recorder has passed then, they know.
            async with self._store.statement() as connection:
                positions = await epochs.positions(connection)
        entries = await self._registry.unusual()
        wanted = {_field(entry): entry_of(entry) for entry in entries}
        wanted[DEFAULT_FIELD] = encode(PASSES, 0, body_of(self._registry.default_policy, "closed", None, {}, 0))
        words: list[Word] = []
        for field in sorted(seen.keys() | wanted.keys()):
            before, after = seen.get(field, ""), wanted.get(field, "")
            if before != after and _is_passed(before, positions):
                words += (field, before, after, int(_epoch(before) != _epoch(after)))
        if words:
            await self._server.script("breakers", [keys.BREAKERS, keys.BREAKER_FAILURES], [], words)
        return entries


def entry_of(entry: Entry) -> str:
    """What the gate and the reports are told of a breaker."""
    breaker = entry.breaker
    permits = breaker.permits if breaker.seen is BreakerState.HALF_OPEN else {}
    body = body_of(entry.policy, str(breaker.seen), breaker.lets_through_at, permits, breaker.trips)
    return encode(_MARKS[breaker.seen], breaker.epoch, body)


def _field(entry: Entry) -> str:
    return ":".join(entry.key)


def _epoch(entry: str) -> int:
    try:
        return epoch_of(entry) if entry else 0
    except ValueError:
        return 0


def _is_provisional(entry: str) -> bool:
    try:
        return bool(entry) and provisional_of(entry) is not None
    except ValueError:
        return False


def _is_passed(entry: str, positions: Mapping[str, str]) -> bool:
    """Whether the recorder has passed what opened it, if a worker did; nothing keeps what is no entry."""
    try:
        opened = provisional_of(entry) if entry else None
    except ValueError:
        return True
    if opened is None:
        return True
    if not positions:
        return False
    reading = min(int(stream.removeprefix(keys.EVENTS_PREFIX)) for stream in positions)
    epoch, stream_id = opened
    if reading != epoch:
        return reading > epoch
    return epochs.order(positions[keys.events(epoch)]) >= epochs.order(stream_id)
