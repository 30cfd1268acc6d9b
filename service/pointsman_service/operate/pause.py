"""Pause and resume a queue: while it is paused, none of its managed tasks starts."""

from dataclasses import dataclass

from pointsman_contract.queues import Topology
from pointsman_service.broker import Broker, BrokerAway
from pointsman_service.callers import Caller
from pointsman_service.errors import UnknownQueueName
from pointsman_service.operate.act import Act, ActKind, acting, once_done
from pointsman_service.settings import Settings
from pointsman_service.store.queues import backlog, pausing
from pointsman_service.store.queues.backlog import Unfinished
from pointsman_service.store.queues.pausing import QueuePause
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_STATES = {True: "paused", False: "running"}


@dataclass(frozen=True, slots=True)
class Paused:
    """A queue after a pause or a resume."""

    pause: QueuePause
    tasks: Unfinished
    before: QueuePause
    """As it was until then."""
    told: bool
    """Whether the gate knows. If not, Redis is away: then nothing starts, and the dispatcher tells it later."""


class Pauser:
    """Pauses for one API process."""

    def __init__(self, store: Store, broker: Broker, settings: Settings) -> None:
        self._store = store
        self._broker = broker
        self._topology = settings.topology

    async def set_paused(self, caller: Caller, queue: str, *, paused: bool, reason: str | None) -> Paused:
        """Committed when this returns, for every process and across restarts. What runs goes on.

        What was sent stays on the broker; a worker that takes it is refused at the gate, and the task waits in
        Postgres again. Raises ``UnknownQueueName``.
        """
        check_queue(self._topology, queue)
        act = Act(ActKind.PAUSE if paused else ActKind.RESUME, caller, queue, reason)
        async with acting(self._store, act) as connection:
            before = await pausing.before_set(connection, queue, act.actor)
            act.changed = paused or before.paused
            pause = await pausing.set_paused(connection, queue, paused=paused, reason=reason, actor=act.actor)
            act.was(_STATES[before.paused], _STATES[pause.paused])
        told = True
        try:
            await self._broker.publish_pauses(pausing.words([pause]))
        except BrokerAway as error:
            log.warning("a pause could not be told to Redis; the dispatcher does it", queue=queue, reason=str(error))
            told = False
        async with once_done(), self._store.statement() as connection:
            return Paused(pause, await backlog.of_queue(connection, queue), before, told)


def check_queue(topology: Topology, queue: str) -> None:
    """Raises ``UnknownQueueName``, naming those there are."""
    if topology.queue(queue) is None:
        names = ", ".join(spec.name for spec in topology.queues)
        raise UnknownQueueName(f"There is no such queue; the queues are {names}.")
