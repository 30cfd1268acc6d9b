"""Asks every part once, all at the same time, and lets the checks judge. No question is waited for longer than two
seconds, and one that is not answered keeps no other from being answered.
"""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pointsman_contract import keys
from pointsman_contract.server_urls import password_of
from pointsman_contract.server_words import server_words
from pointsman_service.broker import Broker
from pointsman_service.console.doctor.channel_checks import channels
from pointsman_service.console.doctor.finding import Finding, Unknown, fault
from pointsman_service.console.doctor.limit_checks import time_limits
from pointsman_service.console.doctor.postgres_checks import (
    DiskFacts,
    SchemaFacts,
    audit,
    disk,
    indexes,
    postgres,
    schema,
    upkeep,
)
from pointsman_service.console.doctor.process_checks import contract, epoch, leaders, recorder
from pointsman_service.console.doctor.redis_checks import redis
from pointsman_service.console.doctor.redis_facts import RedisFacts, redis_facts
from pointsman_service.console.doctor.service_facts import ServiceFacts, service_facts
from pointsman_service.console.doctor.settings_checks import settings as settings_checked
from pointsman_service.console.doctor.worker_checks import queues, task_types, workers
from pointsman_service.database import create_engine
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.observe.broker_state import BrokerWatch
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.observe.workers import WorkerFigures, WorkerWatch
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import RowRefused, StatementRefused, Store
from pointsman_service.store.upkeep.condition import (
    ServerCondition,
    UpkeepCondition,
    server_condition,
    upkeep_condition,
)
from pointsman_service.store.upkeep.indexes import lacking_indexes
from pointsman_service.store.upkeep.revision import head, revision_of
from pointsman_service.store.upkeep.roles import rights
from pointsman_service.store.upkeep.shape import lacking

QUESTION_SECONDS = 2.0
_CONNECTIONS = 5
"""Questions that PostgreSQL is asked at once."""
_STARTED_APART_SECONDS = 60.0

Facts = TypeVar("Facts")


async def examine(settings: Settings, misspelt: Sequence[str]) -> list[Finding]:
    """Every finding, in the order in which they are shown."""
    found = settings_checked(settings, misspelt)
    nowhere = list(_nowhere(settings))
    if nowhere:
        return found + nowhere
    store = Store(create_engine(settings.model_copy(update={"database_connections": _CONNECTIONS}), "pointsman doctor"))
    server, beats_server = (
        RedisServer(settings.require_redis_url(), min(settings.redis_timeout_seconds, QUESTION_SECONDS), settings.trust)
        for _ in range(2)
    )
    try:
        return found + await _Examination(settings, store, server, beats_server).findings()
    finally:
        # What still hangs must not keep us.
        await asyncio.wait(
            [asyncio.create_task(one.close()) for one in (store, server, beats_server)], timeout=QUESTION_SECONDS / 2
        )


def _nowhere(settings: Settings) -> list[Finding]:
    """Servers that nothing names."""
    found = []
    for check, require in (("postgresql", settings.require_database_url), ("redis", settings.require_redis_url)):
        try:
            require()
        except SystemExit as error:
            says, _, advice = str(error).partition(": ")
            found.append(fault(check, says, advice[:1].upper() + advice[1:]))
    return found


class _Examination:
    def __init__(self, settings: Settings, store: Store, server: RedisServer, beats_server: RedisServer) -> None:
        self._settings = settings
        self._store = store
        self._server = server
        self._secrets = password_of(settings.require_database_url()) + password_of(settings.require_redis_url())
        names = [queue.name for queue in settings.topology.queues]
        broker = Broker(beats_server, names, settings.dispatch_memory_percent)
        self._broker = BrokerWatch(broker, beats_server)
        self._workers = WorkerWatch(store, self._broker, settings)

    async def findings(self) -> list[Finding]:
        condition, schema_facts, upkeep_facts, service, redis_found, found_workers = await asyncio.gather(
            self._asked(self._condition()),
            self._asked(self._schema()),
            self._asked(self._upkeep()),
            self._asked(self._service()),
            self._asked(redis_facts(self._server)),
            self._asked(self._workers.look()),
        )
        lag, entries = await self._behind(service, redis_found)
        given = self._settings
        return [
            *postgres(condition, given),
            schema(schema_facts),
            indexes(schema_facts),
            audit(schema_facts, given),
            *upkeep(upkeep_facts, condition),
            disk(upkeep_facts, _disk(condition)),
            *redis(redis_found, given),
            *leaders(service),
            recorder(service, lag, entries, given),
            epoch(service, redis_found, given),
            *workers(_judged(found_workers, redis_found)),
            *contract(redis_found),
            task_types(service),
            *queues(given.topology.queues, service, found_workers),
            *time_limits(service, redis_found, given),
            *channels(given, service),
        ]

    async def _condition(self) -> ServerCondition:
        async with self._store.statement() as connection:
            return await server_condition(connection)

    async def _schema(self) -> SchemaFacts:
        async with self._store.statement() as connection:
            revision = await revision_of(connection)
            lacks = tuple(await lacking(connection))
            # Of a schema that is another nobody knows what it has of ours.
            unbuilt = () if lacks else tuple(await lacking_indexes(connection))
            role, may = await rights(connection)
        return SchemaFacts(revision, head(), lacks, unbuilt, role, may)

    async def _upkeep(self) -> UpkeepCondition:
        async with self._store.statement() as connection:
            return await upkeep_condition(connection)

    async def _service(self) -> ServiceFacts:
        names = [queue.name for queue in self._settings.topology.queues]
        channel_names = [channel.name for channel in self._settings.alert_channels]
        async with self._store.statement() as connection:
            return await service_facts(connection, names, channel_names)

    async def _behind(
        self, service: ServiceFacts | Unknown, found: RedisFacts | Unknown
    ) -> tuple[float | None, int | None]:
        """The recorder's lag, and the entries of the newest stream."""
        if isinstance(service, Unknown) or isinstance(found, Unknown):
            return None, None
        number = None if service.epoch is None else service.epoch.epoch
        lag = await self._broker.lag_seconds(service.positions, number)
        if number is None:
            return lag, None
        entries = await self._asked(self._server.command("XLEN", keys.events(number)))
        return lag, entries if isinstance(entries, int) else None

    async def _asked(self, question: Awaitable[Facts]) -> Facts | Unknown:
        try:
            return await within(QUESTION_SECONDS, question)
        except NotInTime as error:
            return Unknown(str(error))
        except (BrokerAway, DatabaseAway) as error:
            return Unknown(error.said or server_words(error.__cause__ or error, self._secrets))
        except StatementRefused as error:
            return Unknown(f"the schema is another than this release needs ({server_words(error, self._secrets)})")
        except (ExpectedFault, RowRefused) as error:
            return Unknown(server_words(error, self._secrets))


def _judged(found: list[WorkerFigures] | Unknown, redis_found: RedisFacts | Unknown) -> list[WorkerFigures] | Unknown:
    """Where PostgreSQL cannot be asked, Redis at least says how many nodes have a beat."""
    if isinstance(found, Unknown) and isinstance(redis_found, RedisFacts):
        return Unknown(f"{found.why}; {redis_found.beats} have a beat in Redis, living or not")
    return found


def _disk(condition: ServerCondition | Unknown) -> DiskFacts | Unknown:
    """The file system of the server's data, where that is surely one of this machine's."""
    if isinstance(condition, Unknown):
        return condition
    directory = Path(f"/proc/{condition.pid}/cwd")
    with suppress(OSError, ValueError, IndexError):
        # A process of this machine may have the number of one of another machine.
        started_at = int((directory / "postmaster.pid").read_text(encoding="ascii").splitlines()[2])
        if abs(started_at - condition.started_at) < _STARTED_APART_SECONDS:
            found = os.statvfs(directory)
            return DiskFacts(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
    return Unknown("it is not on this machine, or closed to this account")
