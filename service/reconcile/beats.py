"""Watches the beats of the workers: who lives, judged by counters that move and never by a clock."""

import time
from collections.abc import Sequence

from pydantic_core import from_json

from contract import keys
from contract.events import BEAT_SECONDS, Beat
from service.loops import Loop
from service.redis import RedisServer
from service.settings import Settings
from service.store import workers
from service.store.store import Store
from service.telemetry import logger

log = logger(__name__)

_FORGET_SECONDS = 3600.0


class BeatWatch:
    """Copies living workers into the ``worker`` table, and drops the beats of those silent for an hour."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._counters: dict[str, tuple[int, float]] = {}
        self._dead_seconds = settings.worker_dead_seconds
        self.loop = Loop("beat watch", self.single_pass, BEAT_SECONDS)

    async def single_pass(self) -> bool:
        """One look at every beat."""
        beats = await read_beats(self._server)
        now = time.monotonic()
        moved = []
        silent = []
        for owner, beat in beats.items():
            known = self._counters.get(owner)
            if known is None or known[0] != beat["counter"]:
                self._counters[owner] = (beat["counter"], now)
                if known is not None:
                    moved.append(beat)
            elif now - known[1] > _FORGET_SECONDS:
                silent.append(owner)
        for owner in self._counters.keys() - beats.keys():
            del self._counters[owner]
        if silent:
            await self._server.command("HDEL", keys.BEATS, *silent)
        async with self._store.statement() as connection:
            await workers.saw(connection, moved)
        return False


async def read_beats(server: RedisServer) -> dict[str, Beat]:
    """The last beat of every worker parent, by owner. Raises ``BrokerAway``."""
    return parse_beats(await server.command("HGETALL", keys.BEATS))


def parse_beats(flat: Sequence[bytes]) -> dict[str, Beat]:
    """Beats as HGETALL answers them; unreadable ones are left out with a warning."""
    beats: dict[str, Beat] = {}
    for owner, value in zip(flat[::2], flat[1::2], strict=True):
        try:
            beat: Beat = from_json(value)
            _ = beat["counter"] + beat["epoch"], beat["running"], beat["queues"]
            beats[owner.decode()] = beat
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a worker's beat cannot be read", owner=owner.decode(errors="replace"), reason=str(error))
    return beats
