"""The one wiring place: which parts a process has, and how they are started and stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol

from fastapi import FastAPI

from pointsman_contract import RELEASE
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.notifier import Notifier
from pointsman_service.alert.outage import OutageWatch
from pointsman_service.alert.sweep import AlertSweep
from pointsman_service.api.intake import Intake
from pointsman_service.api.parts import Parts
from pointsman_service.api.routes import register
from pointsman_service.breaker.registry import Registry
from pointsman_service.broker import Broker
from pointsman_service.database import create_engine
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.front.door import Door
from pointsman_service.led_loops import LedLoops
from pointsman_service.loops import Loop
from pointsman_service.observe.readiness import RECONCILER
from pointsman_service.pulse import Pulse, pulse_file
from pointsman_service.reconcile.beats import BeatWatch
from pointsman_service.reconcile.breakers import BreakerSweep
from pointsman_service.reconcile.broker_keys import BrokerKeySweep
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.dead_workers import DeadWorkersSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.epochs import EpochSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.forgotten_keys import ForgottenKeysSweep
from pointsman_service.reconcile.held import HeldSweep
from pointsman_service.reconcile.held_by_breakers import HoldingSweep
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.old_claims import OldClaimsSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.reconcile.outliers import OutlierSweep
from pointsman_service.reconcile.partitions import PartitionSweep
from pointsman_service.reconcile.quarantine import QuarantineSweep
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.reconcile.stand_by import StandByWatch
from pointsman_service.reconcile.unacked import UnackedSweep
from pointsman_service.reconcile.unclaimed import UnclaimedSweep
from pointsman_service.reconcile.vanished import VanishedSweep
from pointsman_service.record.recorder import Recorder
from pointsman_service.record.rollup import Rollup
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.leadership import Leadership, Presence
from pointsman_service.store.store import Store
from pointsman_service.submit.group_commit import GroupCommit
from pointsman_service.submit.submitter import Submitter
from pointsman_service.telemetry import logger

log = logger(__name__)

_STOP_SECONDS = 10.0


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


class Process:
    """The parts of one process, by its roles. The loops of the other roles than ``api`` turn in one process of many."""

    def __init__(self, settings: Settings, roles: Collection[Role]) -> None:
        self.settings = settings
        self.store = Store(create_engine(settings, "pointsman " + "+".join(sorted(roles))))
        self._presence = Presence(self.store)
        self._servers: list[RedisServer] = []
        self._loops: list[Loop] = []
        self._led: list[LedLoops] = []
        self._notifier: Notifier | None = None
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
        if settings.pulse_file is not None:
            listens_at = (settings.host, settings.port) if Role.API in roles else None
            turning = _Turning(self._loops[:], self._led)
            self._loops.append(Pulse(pulse_file(settings.pulse_file, listens_at=listens_at), turning).loop)

    def _server(self) -> RedisServer:
        server = RedisServer(self.settings.require_redis_url(), self.settings.redis_timeout_seconds)
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
        window = OpenWindow(self._broker(), self.settings)
        catalogue = Catalogue(self.store)
        self.commits = GroupCommit(self.store, Publisher(self._broker()), window, self.settings)
        server = self._server()
        self.parts = Parts(
            settings=self.settings,
            store=self.store,
            catalogue=catalogue,
            broker=self._broker(server),
            server=server,
            submitter=Submitter(self.store, catalogue, self.commits, self.settings),
        )
        self._loops += [window.loop, catalogue.loop, self.commits.breakers.loop, self.parts.transitions.loop]

    def _add_dispatcher(self) -> None:
        broker = self._broker()
        publisher = Publisher(broker)
        self._lead(
            Role.DISPATCHER, "dispatcher", lambda: [Dispatcher(self.store, broker, publisher, self.settings).loop]
        )

    def _add_recorder(self) -> None:
        server = self._server()
        self._lead(
            Role.RECORDER,
            "recorder",
            lambda: [Recorder(self.store, server, self.settings).loop, Rollup(self.store, self.settings).loop],
        )

    def _add_reconciler(self) -> None:
        server = self._server()
        broker = self._broker()
        liveness = Liveness(server, self.settings.worker_dead_seconds)
        channels = Channels(self.settings)
        notifier = self._notifier = Notifier(self.store, channels, self.settings)
        own = {"epoch": self._server(), "outliers": self._server(), "holding": self._server()}
        led = self._lead(
            Role.RECONCILER, RECONCILER, lambda: [*self._sweeps(broker, server, liveness, own), notifier.loop]
        )
        self._loops += [
            StandByWatch(liveness, lambda: bool(led.turning)).loop,
            # These act with PostgreSQL away, too.
            BrokerKeySweep(server, self._queues, lambda: led.stands_by).loop,
            OutageWatch(self.store, self._server(), channels, self.settings, lambda: led.led).loop,
        ]

    def _sweeps(
        self, broker: Broker, server: RedisServer, liveness: Liveness, own: Mapping[str, RedisServer]
    ) -> list[Loop]:
        """All that one reconciler does at a time. ``own`` are connections of sweeps that must not wait for others."""
        store, settings = self.store, self.settings
        registry = Registry(store, settings)
        return [
            EpochSweep(store, own["epoch"], settings).loop,
            BeatWatch(store, server, settings).loop,
            DeadWorkersSweep(store, server, liveness, settings).loop,
            VanishedSweep(store, broker, server, liveness, settings).loop,
            QuarantineSweep(store, liveness).loop,
            LostSweep(store, broker, server, liveness, settings).loop,
            UnclaimedSweep(store, server, liveness, settings).loop,
            UnackedSweep(store, broker).loop,
            OldClaimsSweep(store, server).loop,
            DueSweep(store, settings).loop,
            OutboxSweep(store, settings).loop,
            ExpiredSweep(store, server, settings).loop,
            CancelledSweep(store, server, settings).loop,
            HeldSweep(store).loop,
            BreakerSweep(registry).loop,
            OutlierSweep(store, own["outliers"], registry, settings).loop,
            HoldingSweep(store, own["holding"], settings).loop,
            ForgottenKeysSweep(store, settings).loop,
            PartitionSweep(store).loop,
            RetentionSweep(store, settings).loop,
            AlertSweep(store, Lookout(store, broker, server, settings), settings).loop,
        ]

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


def create_app(settings: Settings, roles: Collection[Role] = tuple(Role)) -> Any:
    """The ASGI application of a process that has the API, with whatever other roles it was given.

    Its background loops run from ASGI startup to shutdown.
    """
    process = Process(settings, {Role.API, *roles})
    assert process.parts is not None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with process.running():
            yield

    application = _application(lifespan)
    application.state.parts = process.parts
    return Door(Intake(application, process.parts), settings)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of the API; needs no server."""
    return _application(None).openapi()


def _application(lifespan: Any) -> FastAPI:
    application = FastAPI(
        title="Pointsman",
        summary="A control plane for Celery.",
        version=RELEASE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    register(application)
    return application
