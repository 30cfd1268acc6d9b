"""Watches the beats of the workers: who lives, judged by counters that move and never by a clock."""

import time
from collections.abc import Mapping

from pointsman_contract import keys
from pointsman_contract.events import BEAT_SECONDS
from pointsman_service.fleet.beats import sort_out
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import parents
from pointsman_service.telemetry import logger

log = logger(__name__)

_FORGET_SECONDS = 3600.0
_LOOKS = 3


class BeatWatch:
    """Copies living workers into the ``worker`` table, and drops the beats of those silent for an hour, and whatever is
    no beat and does not change.
    """

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._counters: dict[str, tuple[int, float]] = {}
        self._wrong: dict[bytes, tuple[bytes, int]] = {}
        self._dead_seconds = settings.worker_dead_seconds
        self.loop = Loop("beat watch", self.single_pass, BEAT_SECONDS)

    async def single_pass(self) -> bool:
        """One look at every beat."""
        flat = await self._server.command("HGETALL", keys.BEATS)
        beats, wrong = sort_out(flat, self._server.trust)
        now = time.monotonic()
        moved = []
        silent = self._stale(dict(zip(flat[::2], flat[1::2], strict=True)), wrong)
        for owner, beat in beats.items():
            known = self._counters.get(owner)
            if known is None or known[0] < beat["counter"]:
                self._counters[owner] = (beat["counter"], now)
                if known is not None:
                    moved.append(beat)
            elif now - known[1] > _FORGET_SECONDS:
                silent.append(owner.encode())
        for owner in self._counters.keys() - beats.keys():
            del self._counters[owner]
        if silent:
            await self._server.command("HDEL", keys.BEATS, *silent)
        async with self._store.statement() as connection:
            await parents.saw(connection, moved)
        return False

    def _stale(self, texts: Mapping[bytes, bytes], wrong: Mapping[bytes, str]) -> list[bytes]:
        """The owners of beats that cannot be read and stand still: no worker of another version beats so."""
        for owner in wrong.keys() - self._wrong.keys():
            log.warning("a worker's beat cannot be read", owner=owner.decode(errors="replace"), reason=wrong[owner])
        before, self._wrong = self._wrong, {}
        for owner in wrong:
            text, looks = before.get(owner, (b"", 0))
            self._wrong[owner] = (texts[owner], looks + 1 if text == texts[owner] else 0)
        return [owner for owner, (_, looks) in self._wrong.items() if looks >= _LOOKS]
