"""The one wiring place: which parts a process has, and how they are started and stopped."""

import asyncio
from collections.abc import AsyncIterator, Collection
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
from pointsman_service.front.door import Door
from pointsman_service.loops import Loop
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
from pointsman_service.reconcile.holding import HoldingSweep
from pointsman_service.reconcile.liveness import Liveness
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.old_claims import OldClaimsSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.reconcile.outliers import OutlierSweep
from pointsman_service.reconcile.partitions import PartitionSweep
from pointsman_service.reconcile.quarantine import QuarantineSweep
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.reconcile.unacked import UnackedSweep
from pointsman_service.reconcile.unclaimed import UnclaimedSweep
from pointsman_service.reconcile.vanished import VanishedSweep
from pointsman_service.record.recorder import Recorder
from pointsman_service.record.rollup import Rollup
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
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


class _Leads(Protocol):
    async def give_up(self) -> None: ...


class Process:
    """The parts of one process, by its roles; every process may run every loop."""

    def __init__(self, settings: Settings, roles: Collection[Role]) -> None:
        self.settings = settings
        self.store = Store(create_engine(settings, "pointsman " + "+".join(sorted(roles))))
        self._servers: list[RedisServer] = []
        self._loops: list[Loop] = []
        self._leaders: list[_Leads] = []
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
            self._loops.append(Pulse(pulse_file(settings.pulse_file, listens_at=listens_at), self._loops[:]).loop)

    def _server(self) -> RedisServer:
        server = RedisServer(self.settings.require_redis_url(), self.settings.redis_timeout_seconds)
        self._servers.append(server)
        return server

    def _broker(self) -> Broker:
        queues = [queue.name for queue in self.settings.topology.queues]
        return Broker(self._server(), queues, self.settings.dispatch_memory_percent)

    def _add_api(self) -> None:
        window = OpenWindow(self._broker(), self.settings)
        catalogue = Catalogue(self.store)
        self.commits = GroupCommit(self.store, Publisher(self._broker()), window, self.settings)
        server = self._server()
        queues = [queue.name for queue in self.settings.topology.queues]
        self.parts = Parts(
            settings=self.settings,
            store=self.store,
            catalogue=catalogue,
            broker=Broker(server, queues, self.settings.dispatch_memory_percent),
            server=server,
            submitter=Submitter(self.store, catalogue, self.commits, self.settings),
        )
        self._loops += [window.loop, catalogue.loop, self.commits.breakers.loop, self.parts.transitions.loop]

    def _add_dispatcher(self) -> None:
        broker = self._broker()
        dispatcher = Dispatcher(self.store, broker, Publisher(broker), self.settings)
        self._loops.append(dispatcher.loop)
        self._leaders.append(dispatcher)

    def _add_recorder(self) -> None:
        recorder = Recorder(self.store, self._server(), self.settings)
        self._loops += [recorder.loop, Rollup(self.store, self.settings).loop]
        self._leaders.append(recorder)

    def _add_reconciler(self) -> None:
        epoch_sweep = EpochSweep(self.store, self._server(), self.settings)
        server = self._server()
        broker = self._broker()
        liveness = Liveness(server, self.settings.worker_dead_seconds)
        self._add_alerts(broker, server)
        registry = Registry(self.store, self.settings)
        outliers = OutlierSweep(self.store, self._server(), registry, self.settings)
        holding_sweep = HoldingSweep(self.store, self._server(), self.settings)
        self._leaders += [epoch_sweep, outliers, holding_sweep]
        self._loops += [
            epoch_sweep.loop,
            BeatWatch(self.store, server, self.settings).loop,
            DeadWorkersSweep(self.store, server, liveness, self.settings).loop,
            VanishedSweep(self.store, broker, server, liveness, self.settings).loop,
            QuarantineSweep(self.store, liveness).loop,
            LostSweep(self.store, broker, server, liveness, self.settings).loop,
            UnclaimedSweep(self.store, server, liveness, self.settings).loop,
            UnackedSweep(self.store, broker).loop,
            OldClaimsSweep(self.store, server).loop,
            BrokerKeySweep(server, [queue.name for queue in self.settings.topology.queues]).loop,
            DueSweep(self.store, self.settings).loop,
            OutboxSweep(self.store, self.settings).loop,
            ExpiredSweep(self.store, server, self.settings).loop,
            CancelledSweep(self.store, server, self.settings).loop,
            HeldSweep(self.store).loop,
            BreakerSweep(registry).loop,
            outliers.loop,
            holding_sweep.loop,
            ForgottenKeysSweep(self.store, self.settings).loop,
            PartitionSweep(self.store).loop,
            RetentionSweep(self.store, self.settings).loop,
        ]

    def _add_alerts(self, broker: Broker, server: RedisServer) -> None:
        sweep = AlertSweep(self.store, Lookout(self.store, broker, server, self.settings), self.settings)
        channels = Channels(self.settings)
        notifier = Notifier(self.store, channels, self.settings)
        outage_watch = OutageWatch(self.store, self._server(), channels, self.settings, lambda: sweep.led)
        self._loops += [sweep.loop, notifier.loop, outage_watch.loop]
        self._leaders += [sweep, notifier]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loops for the length of the block, then end each after its pass, and leave nothing half done."""
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            for server in self._servers:
                stack.push_async_callback(server.close)
            stack.push_async_callback(self.store.close)
            loops = [asyncio.create_task(loop.run(stop), name=loop.name) for loop in self._loops]
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
        for leader in self._leaders:
            try:
                await leader.give_up()
            except Exception as error:
                log.info("a lead was not given up; it runs out by itself", reason=type(error).__name__)


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
