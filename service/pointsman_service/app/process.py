"""One process of the control plane: its parts by its roles, and how they are started and stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pointsman_service.access.refusals import Refusals
from pointsman_service.access.ring import KeyRing
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.notifier import Notifier
from pointsman_service.alert.outage import OutageWatch
from pointsman_service.app.exposition import make_keeper
from pointsman_service.app.sweeps import make_alert_sweep, make_sweeps
from pointsman_service.app.tracing import make_tracing
from pointsman_service.broker import Broker
from pointsman_service.database import create_engine, create_engines_of_api
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.fleet.watch import WorkerLivenessWatch
from pointsman_service.led_loops import LedLoops
from pointsman_service.live.bell import Bell
from pointsman_service.loops import Loop
from pointsman_service.observe.roles import RECONCILER, STAND_IN
from pointsman_service.observe.views import Views, first_look
from pointsman_service.pulse import Pulse, pulse_file
from pointsman_service.reconcile.beats import BeatWatch
from pointsman_service.reconcile.broker_keys import BrokerKeySweep
from pointsman_service.record.backlog import BacklogMending, BacklogRollup
from pointsman_service.record.error_rollup import ErrorRollup
from pointsman_service.record.recorder import Recorder
from pointsman_service.record.rollup import Rollup
from pointsman_service.record.run_logs import RunLogRecorder
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.leadership import Leadership, Presence, StandIn
from pointsman_service.store.store import Store
from pointsman_service.submit.group_commit import GroupCommit
from pointsman_service.submit.rates import Rates
from pointsman_service.telemetry import logger

if TYPE_CHECKING:
    from pointsman_service.api.parts import Parts

log = logger(__name__)

_STOP_SECONDS = 10.0
_LEADS_BETWEEN_LOOKS = 1.5
"""So many times as long as a lead lasts lie between two looks whether there is a reconciler: one that died is missed in
time to be told of with the next look at alerts."""
_API_WATCH_SECONDS = 2.0
"""As often as workers beat."""


class Role(StrEnum):
    """What a process does."""

    API = "api"
    DISPATCHER = "dispatcher"
    RECORDER = "recorder"
    RECONCILER = "reconciler"


class _Runs(Protocol):
    @property
    def name(self) -> str: ...

    async def run(self, stop: asyncio.Event) -> None: ...


class _Turning:
    """Every loop that turns now, again each time it is gone through."""

    def __init__(self, loops: Sequence[Loop], led: Sequence[LedLoops]) -> None:
        self._loops = loops
        self._led = led

    def __iter__(self) -> Iterator[Loop]:
        yield from self._loops
        for led in self._led:
            yield led.loop
            yield from led.turning


def _store(settings: Settings, roles: Collection[Role]) -> Store:
    name = "pointsman " + "+".join(sorted(roles))
    if Role.API not in roles:
        return Store(create_engine(settings, name))
    engine, commits = create_engines_of_api(settings, name)
    return Store(engine, commits=commits)


class Process:
    """The parts of one process, by its roles. The loops of the other roles than ``api`` turn in one process of many."""

    def __init__(self, settings: Settings, roles: Collection[Role]) -> None:
        self.settings = settings
        self.store = _store(settings, roles)
        self.tracing = make_tracing(settings, roles)
        self._presence = Presence(self.store)
        self._servers: list[RedisServer] = []
        self._loops: list[Loop] = []
        self._led: list[LedLoops] = []
        self._notifier: Notifier | None = None
        self._outage_watch: OutageWatch | None = None
        self.commits: GroupCommit | None = None
        self.parts: Parts | None = None
        if Role.API in roles:
            self._add_api()
        if Role.DISPATCHER in roles:
            self._add_dispatcher()
        if Role.RECORDER in roles:
            self._add_recorder()
        if Role.RECONCILER in roles:
            self._add_reconciler()
        else:
            self._add_stand_in()
        if settings.pulse_file is not None:
            listens_at = (settings.host, settings.port) if Role.API in roles else None
            turning = _Turning(self._loops[:], self._led)
            self._loops.append(Pulse(pulse_file(settings.pulse_file, listens_at=listens_at), turning).loop)

    def _server(self) -> RedisServer:
        server = RedisServer(
            self.settings.require_redis_url(), self.settings.redis_timeout_seconds, self.settings.trust
        )
        self._servers.append(server)
        return server

    @property
    def _queues(self) -> list[str]:
        return [queue.name for queue in self.settings.topology.queues]

    def _broker(self, server: RedisServer | None = None) -> Broker:
        return Broker(server or self._server(), self._queues, self.settings.dispatch_memory_percent)

    def _lead(self, role: Role, name: str, make: Callable[[], Sequence[Loop]]) -> LedLoops:
        led = LedLoops(role, Leadership(self._presence, name, self.settings.leader_seconds), make)
        self._led.append(led)
        return led

    def _add_api(self) -> None:
        # A process that has no API need not read it: that takes longer than all else at its start, and memory.
        from pointsman_service.app.parts import make_parts

        window = OpenWindow(self._broker(), self.settings)
        catalogue = Catalogue(self.store, self.settings.task_routes.root)
        self.commits = GroupCommit(self.store, Publisher(self._broker(), self.tracing), window, self.settings)
        server = self._server()
        liveness = Liveness(self._server(), self.settings.worker_dead_seconds)
        keys = KeyRing(self._presence)
        refusals = Refusals(self._presence)
        # Of its own: no submission waits behind what others ask of Redis.
        rates = Rates(self._server(), self.settings.default_rate)
        self.parts = make_parts(
            self.settings,
            self.store,
            catalogue,
            self._broker(server),
            server,
            self.commits,
            liveness,
            self.tracing,
            keys,
            rates,
            refusals,
        )
        self._loops += [
            window.loop,
            keys.loop,
            refusals.loop,
            rates.loop,
            catalogue.loop,
            self.commits.breakers.loop,
            self.commits.serving.loop,
            self.parts.transitions.loop,
            self.parts.lines.loop,
            self.parts.changes.loop,
            Bell(self.parts.changes, self._server()).loop,
            self.parts.views.predictions.loop,
            self.parts.admission.loop,
            self.parts.quotas.loop,
            WorkerLivenessWatch(liveness, interval_seconds=_API_WATCH_SECONDS).loop,
        ]
        if self.parts.issuer is not None:
            self._loops.append(self.parts.issuer.loop)

    def _add_dispatcher(self) -> None:
        broker = self._broker()
        publisher = Publisher(broker, self.tracing)
        self._lead(
            Role.DISPATCHER, "dispatcher", lambda: [Dispatcher(self.store, broker, publisher, self.settings).loop]
        )

    def _add_recorder(self) -> None:
        server, of_lines = self._server(), self._server()
        self._lead(
            Role.RECORDER,
            "recorder",
            lambda: [
                Recorder(self.store, server, self.settings, self.tracing).loop,
                Rollup(self.store, self.settings).loop,
                BacklogRollup(self.store, self.settings).loop,
                BacklogMending(self.store, self.settings).loop,
                ErrorRollup(self.store, self.settings).loop,
                RunLogRecorder(self.store, of_lines, self.settings).loop,
            ],
        )

    def _add_reconciler(self) -> None:
        server = self._server()
        broker = self._broker()
        liveness = Liveness(server, self.settings.worker_dead_seconds)
        channels = Channels(self.settings)
        notifier = self._notifier = Notifier(self.store, channels, self.settings)
        own = {"epoch": self._server(), "outliers": self._server(), "holding": self._server()}
        make = partial(make_sweeps, self.store, self.settings, broker, server, liveness, own)
        led: LedLoops
        alerts = partial(make_alert_sweep, self.store, self.settings, broker, server, lambda: led.known_since)
        exposition = partial(self._exposition, broker, self._server(), liveness)
        led = self._lead(Role.RECONCILER, RECONCILER, lambda: [*make(), alerts(), notifier.loop, exposition()])
        self._loops += [
            WorkerLivenessWatch(liveness, lambda: bool(led.turning)).loop,
            # This and the next act with PostgreSQL away, too.
            BrokerKeySweep(server, self._queues, lambda: led.stands_by).loop,
        ]
        self._watch_outages(OutageWatch(self.store, self._server(), channels, self.settings, lambda: led.led))

    def _add_stand_in(self) -> None:
        """While there is no reconciler one of the others looks after alerts and workers, or nobody would tell of it.

        Each looks whether there is one now and then; who stands in does so for three looks at a time.
        """
        interval = _LEADS_BETWEEN_LOOKS * self.settings.leader_seconds
        server = self._server()
        broker = self._broker()
        channels = Channels(self.settings)
        notifier = self._notifier = Notifier(self.store, channels, self.settings)
        led: LedLoops
        alerts = partial(make_alert_sweep, self.store, self.settings, broker, server, lambda: led.known_since)
        exposition = partial(self._exposition, broker, self._server())
        led = LedLoops(
            STAND_IN,
            StandIn(self.store, self._presence, STAND_IN, RECONCILER, 3 * interval),
            lambda: [BeatWatch(self.store, server, self.settings).loop, alerts(), notifier.loop, exposition()],
            interval,
        )
        self._led.append(led)
        self._watch_outages(
            OutageWatch(self.store, self._server(), channels, self.settings, lambda: led.led, lambda: led.led)
        )

    def _exposition(self, broker: Broker, server: RedisServer, liveness: Liveness | None = None) -> Loop:
        catalogue = Catalogue(self.store)
        views = Views.over(self.settings, self.store, broker, server, liveness)
        return make_keeper(self.settings, self.store, catalogue, views).loop

    def _watch_outages(self, watch: OutageWatch) -> None:
        self._outage_watch = watch
        self._loops.append(watch.loop)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loops for the length of the block, then end each after its pass, and leave nothing half done."""
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            for server in self._servers:
                stack.push_async_callback(server.close)
            stack.push_async_callback(self.store.close)
            stack.push_async_callback(self._presence.close)
            runs: list[_Runs] = [*self._loops, *self._led]
            loops = [asyncio.create_task(one.run(stop), name=one.name) for one in runs]
            if self.parts is not None:
                await self.parts.keys.try_refresh()
                await first_look(self.parts.views)
            try:
                yield
            finally:
                stop.set()
                await self._finish(loops)

    async def _finish(self, loops: list[asyncio.Task[None]]) -> None:
        if self.commits is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self.commits.drain()
            except TimeoutError:
                log.warning("some commits were not published in time; their outbox rows stay")
        _, late = await asyncio.wait(loops, timeout=_STOP_SECONDS)
        for loop in late:
            log.warning("a loop did not end in time", loop=loop.get_name())
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        if self._notifier is not None:
            await self._notifier.give_up()
        if self._outage_watch is not None:
            await self._outage_watch.give_up()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
