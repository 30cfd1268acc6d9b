"""The sweep ``dead_workers``: what a dead worker ran is sent again."""

from pointsman_service.claims.rescue import Rescuer
from pointsman_service.claims.tail import Tail
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.lost import rescuing
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_INTERVAL_SECONDS = 1.0
_TAIL_SECONDS = 1.0


class DeadWorkersSweep:
    """Safe in every process; each judges for itself."""

    def __init__(self, store: Store, server: RedisServer, liveness: Liveness, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._liveness = liveness
        self._rescuer = Rescuer(store, server)
        self._dead_seconds = settings.worker_dead_seconds
        self._said: set[str] = set()
        self._emptied: set[str] = set()
        self.loop = Loop("dead workers sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Look at every worker, and rescue up to 500 attempts of dead ones; True when there may be more."""
        await self._liveness.look()
        epoch = self._liveness.epoch
        found = self._liveness.dead()
        self._said &= found.keys()
        self._emptied &= found.keys()
        dead = found.keys() - self._emptied
        if epoch is None or not dead:
            return False
        for owner in sorted(dead - self._said):
            log.warning("a worker is dead", worker=owner, silent_seconds=self._dead_seconds)
            self._said.add(owner)
        # Taken after the verdict: the dead report nothing more.
        tail = await Tail.now(self._server, epoch)
        if not await tail.recorded_within(self._store, _TAIL_SECONDS):
            return False
        async with self._store.statement() as connection:
            attempts = await rescuing.running_of(connection, sorted(dead), _TASKS_A_PASS)
        if not attempts:
            # Not asked for again while it stays dead: its beat lies about for an hour.
            self._emptied |= dead
            return False
        stopped = {owner for owner, beat in found.items() if beat.get("stopping")}
        ended = await self._rescuer.rescue(attempts, epoch, stopped)
        return ended == _TASKS_A_PASS
