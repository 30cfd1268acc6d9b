"""The sweep ``vanished``: a row says that an attempt runs, and the worker that lives does not know of it.

A child died in the moment between its claim and its slot, a frozen Redis claimed for a caller who had given up, or a
worker left in order while Redis had lost what it ran. An attempt of a worker that is nowhere to be seen is looked at
here, too: one that never beat, or whose beat is gone.
"""

from dataclasses import dataclass

from pointsman_contract.events import BEAT_SECONDS
from pointsman_service.broker import Broker
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.claims.tail import Tail
from pointsman_service.fleet.liveness import Liveness, Verdict
from pointsman_service.loops import Loop
from pointsman_service.reconcile.lists import Lists
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.lost import missing
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PLACE = 2000
_TAIL_SECONDS = 1.0
_BEATS = 2


@dataclass(frozen=True, slots=True)
class _Suspect:
    epoch: int
    counter: int
    """Of its worker's beat when the attempt was first not named."""


class VanishedSweep:
    """Safe in every process; each judges for itself."""

    def __init__(
        self, store: Store, broker: Broker, server: RedisServer, liveness: Liveness, settings: Settings
    ) -> None:
        self._store = store
        self._server = server
        self._liveness = liveness
        self._rescuer = Rescuer(store, server)
        self._lists = Lists(broker, [queue.name for queue in settings.topology.queues])
        self._suspects: dict[Running, _Suspect] = {}
        self.loop = Loop("vanished sweep", self.single_pass, BEAT_SECONDS)

    async def single_pass(self) -> bool:
        """Compare what is said to run with what workers say; rescue what nobody named in two beats."""
        async with self._store.statement() as connection:
            places = await self._lists.left(connection, 0.0)
            running = await missing.running(connection, places, _TASKS_A_PLACE)
        # After the rows: the next beat is made after the attempt was known to run.
        await self._liveness.look()
        epoch = self._liveness.epoch
        if epoch is None:
            return False
        vanished = self._look_for(running, epoch)
        if not vanished:
            return False
        tail = await Tail.now(self._server, epoch)
        if await tail.recorded_within(self._store, _TAIL_SECONDS):
            # Those that have ended meanwhile are fenced by their claims and rows.
            ended = await self._rescuer.rescue(vanished, epoch)
            if ended:
                log.warning("attempts vanished: nobody ran what should run", tasks=ended)
        return False

    def _look_for(self, running: list[Running], epoch: int) -> list[Running]:
        beats = self._liveness.beats()
        named = {
            owner: {one["task"] for one in beat["running"]} | set(beat.get("asking", ()))
            for owner, beat in beats.items()
        }
        suspects: dict[Running, _Suspect] = {}
        found = []
        for attempt in running:
            beat = beats.get(attempt.worker)
            if beat is None:
                if self._liveness.verdict(attempt.worker) is Verdict.DEAD:
                    found.append(attempt)
                continue
            if attempt.id in named[attempt.worker]:
                continue
            suspect = self._suspects.get(attempt)
            if suspect is None or suspect.epoch != epoch:
                suspect = _Suspect(epoch, beat["counter"])
            suspects[attempt] = suspect
            if beat["counter"] - suspect.counter >= _BEATS:
                found.append(attempt)
        self._suspects = suspects
        return found
