"""Looks at the installation for everybody who has the first page open, and never unasked.

Whoever asks within a second and a half hears the same. What changes from moment to moment is one statement, what is
told beside it another one every eight seconds, or at once when something new is wrong, and sums of hours come once or
twice a minute.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pointsman_contract.server_words import server_words
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.now.composing import compose
from pointsman_service.now.facts import Away, Facts, TakenMemory
from pointsman_service.now.hours import HoursWatch
from pointsman_service.now.picture import Now, RunningNow
from pointsman_service.now.seeing import asked_of, facts_of, workers_of
from pointsman_service.now.steady import Steady
from pointsman_service.observe import memory
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.views import Views
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.first_page import beside, moving
from pointsman_service.store.first_page.beside import Around, Asked
from pointsman_service.store.first_page.moving import Look
from pointsman_service.store.store import RowRefused, StatementRefused, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_KEPT_SECONDS = 1.5
_ANSWER_SECONDS = 2.0
_AROUND_SECONDS = 8.0
_MEMORY_SECONDS = 10.0
_MOST_KINDS = 4
_REST = 10.0
"""What is told beside takes at most a tenth of one connection's time."""
_AWAY = (DatabaseAway, ExpectedFault, NotInTime, StatementRefused, RowRefused)


class NowWatch:
    """The first page of one installation, as one process sees it."""

    def __init__(self, store: Store, server: RedisServer, views: Views, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._views = views
        self._settings = settings
        self.forget()
        self._hours = HoursWatch(store, views)
        self._steady = Steady()
        self._asked = Asked()
        self._around = Kept(self._ask_around, _AROUND_SECONDS, _REST)
        self._around_known: tuple[Asked, Around] | None = None
        self._memory = Kept(self._ask_memory, _MEMORY_SECONDS, _REST)
        self._broker_away_since: datetime | None = None
        self._database_away_since: datetime | None = None
        self._known: Facts | None = None
        self._answers_since: float | None = time.monotonic()

    async def read(self, *, reads_payloads: bool = True) -> Now:
        """The first page, some two seconds old at most; without ``reads_payloads`` with neither messages of errors nor
        tags. Never raises because a server is away: it says so.
        """
        return (await self._kept.get()).shown(reads_payloads=reads_payloads)

    def forget(self) -> None:
        """Something was just done: the next who asks sees what came of it."""
        self._kept = Kept(self._look, _KEPT_SECONDS)
        # A database that hangs holds one connection, and is waited for once.
        self._moving = Kept(self._ask, 0.0)

    async def _look(self) -> "_Seen":
        broker = await self._views.broker.state()
        away = self._broker_away(broker)
        try:
            look = await self._moving.soon(_ANSWER_SECONDS)
        except _AWAY as error:
            log.info("what is wrong now is said without PostgreSQL", reason=server_words(error))
            return _Seen(self._without_database(error, broker, away))
        self._database_away_since = None
        if self._answers_since is None:
            self._answers_since = time.monotonic()
        facts = await self._facts(look, broker, away)
        self._known = facts
        return _Seen(facts)

    async def _facts(self, look: Look, broker: BrokerState, away: Away | None) -> Facts:
        workers = workers_of(look, broker, self._settings, self._views.workers.liveness)
        wanted = asked_of(look, broker, self._settings)
        around, hours, lag = await asyncio.gather(
            self._told_around(wanted),
            self._hours.read(),
            self._views.broker.lag_seconds({row.stream: row.last_id for row in look.positions}, look.epoch),
        )
        facts = facts_of(look, around, hours, broker, workers, self._settings, self._views.predictions)
        facts = replace(
            facts,
            broker=away,
            lag_seconds=lag,
            recorded_up_to=_recorded_up_to(look, lag),
            unled=self._unled(facts.unled),
            predictions=self._steady.told(facts.queues, facts.predictions),
        )
        if facts.memory_percent is not None and facts.memory_percent >= facts.full_percent:
            facts = replace(facts, memory=await self._filled())
        return facts

    def _unled(self, found: Mapping[str, float]) -> dict[str, float]:
        """Nobody is said to be missing for longer than this process could see them: after a start, or an outage of the
        database, everybody is on their way.
        """
        seen = 0.0 if self._answers_since is None else time.monotonic() - self._answers_since
        return {role: min(seconds, seen) for role, seconds in found.items()}

    async def _ask(self) -> Look:
        async with self._store.statement() as connection:
            return await moving.look(connection)

    async def _told_around(self, wanted: Asked) -> Around | None:
        """What is told beside; what was known before where it cannot be asked in time. What is new is asked at once."""
        known = self._around_known
        if known is not None and not _covers(known[0], wanted):
            self._around = Kept(self._ask_around, _AROUND_SECONDS, _REST)
        self._asked = wanted
        try:
            return await within(_ANSWER_SECONDS, self._around.get())
        except _AWAY as error:
            log.info("what is told beside causes is not known now", reason=server_words(error))
            return None if known is None else known[1]

    async def _ask_around(self) -> Around:
        wanted = self._asked
        async with self._store.statement() as connection:
            found = await beside.around(connection, wanted)
        self._around_known = wanted, found
        return found

    async def _filled(self) -> tuple[TakenMemory, ...]:
        try:
            return await within(_ANSWER_SECONDS, self._memory.get())
        except (BrokerAway, NotInTime) as error:
            log.info("what fills Redis is not known now", reason=server_words(error))
            return ()

    async def _ask_memory(self) -> tuple[TakenMemory, ...]:
        names = [queue.name for queue in self._settings.topology.queues]
        found = await memory.largest(self._server, names, _MOST_KINDS)
        return tuple(TakenMemory(one.what, one.size) for one in found)

    def _broker_away(self, broker: BrokerState) -> Away | None:
        if broker.up:
            self._broker_away_since = None
            return None
        self._broker_away_since = self._broker_away_since or datetime.now(UTC)
        return Away(self._broker_away_since, broker.reason)

    def _without_database(self, error: Exception, broker: BrokerState, away: Away | None) -> Facts:
        now = datetime.now(UTC)
        self._answers_since = None
        self._database_away_since = self._database_away_since or now
        before = self._known or Facts(now)
        beats = broker.beats.values() if away is None else ()
        return Facts(
            now=now,
            recorded_up_to=before.recorded_up_to,
            database=Away(self._database_away_since, error.said if isinstance(error, DatabaseAway) else ""),
            broker=away,
            queues=before.queues,
            seen_at=None if self._known is None else before.now,
            worked=tuple(RunningNow(beat["name"], run["task"], None) for beat in beats for run in beat["running"]),
        )


class _Seen:
    """What was seen, and the page of it, composed once for all who may see the same."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._whole = compose(facts)
        self._masked: Now | None = None

    def shown(self, *, reads_payloads: bool) -> Now:
        """The page."""
        if reads_payloads:
            return self._whole
        if self._masked is None:
            self._masked = compose(self._facts.without_payloads())
        return self._masked


def _covers(known: Asked, wanted: Asked) -> bool:
    """Whether nothing is asked about that was not asked about before, but for what runs."""
    return all(
        set(new) <= set(old)
        for new, old in (
            (wanted.reasons, known.reasons),
            (wanted.blamed, known.blamed),
            (wanted.task_types, known.task_types),
            (wanted.queues, known.queues),
            (wanted.unknown, known.unknown),
        )
    )


def _recorded_up_to(look: Look, lag_seconds: float | None) -> datetime | None:
    if lag_seconds is not None:
        return look.now - timedelta(seconds=lag_seconds)
    last = max((int(row.last_id.partition("-")[0]) for row in look.positions), default=0)
    return min(look.now, datetime.fromtimestamp(last / 1000, UTC)) if last else None
