"""The sweep ``broker keys``: a key of ours that somebody made another type of is made anew by whoever fills it.

What was in it is gone; each of these is written again from Postgres, by the workers' next beats, or is a hint only.
Claims and event streams are looked at by those who use them. Keys of Celery's names are no business of ours: one of
another type is named in readiness and by an alert.
"""

from collections.abc import Callable, Iterable, Mapping

from pointsman_contract import keys
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer, ScriptCall
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 1.0

OF_ALL: Mapping[str, str] = {
    keys.CONTROL: "hash",
    keys.SEQUENCE: "hash",
    keys.WINDOW: "hash",
    keys.BEATS: "hash",
    keys.EJECTED: "hash",
    keys.BREAKERS: "hash",
    keys.BREAKER_FAILURES: "hash",
    keys.LINES: "stream",
    keys.SET_ASIDE: "stream",
    keys.SET_ASIDE_COUNTS: "hash",
    keys.OUTAGE: "hash",
    keys.OUTAGE_SENDER: "string",
    keys.VISIBILITY_TIMEOUT: "string",
    keys.FORECAST: "string",
    keys.RECORDED: "stream",
}
OF_A_QUEUE: Mapping[str, str] = {
    keys.BELL_PREFIX: "list",
    keys.LISTENER_PREFIX: "string",
    keys.LISTENER_BELL_PREFIX: "list",
}


class BrokerKeySweep:
    """Safe in every process: a key goes only while it is of another type. ``rests``: whether another process looks."""

    def __init__(self, server: RedisServer, queues: Iterable[str], rests: Callable[[], bool] = lambda: False) -> None:
        self._server = server
        self._rests = rests
        self._types = dict(OF_ALL) | {prefix + queue: kind for queue in queues for prefix, kind in OF_A_QUEUE.items()}
        self.loop = Loop("broker key sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Look at the type of every key whose name is known."""
        if self._rests():
            return False
        found = await self._server.pipeline([("TYPE", key) for key in self._types])
        wrong = [
            (key, kind)
            for (key, kind), is_now in zip(self._types.items(), found, strict=True)
            if is_now not in (b"none", kind.encode())
        ]
        if not wrong:
            return False
        calls: list[ScriptCall] = [([key], [], [kind]) for key, kind in wrong]
        gone = await self._server.scripts("retype", calls)
        for (key, kind), deleted in zip(wrong, gone, strict=True):
            if deleted:
                log.error("a key of ours was of another type and is made anew", key=key, must_be=kind)
        return False
