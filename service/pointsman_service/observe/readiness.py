"""Whether a task submitted now would be accepted and run, part by part, each within about a second.

Details are for anybody who asks: no address, no secret, no text of an error from outside.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pointsman_contract.counted import counted
from pointsman_contract.log_text import in_one_line
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.roles import LedRole, unled_seconds
from pointsman_service.observe.workers import WorkerFigures, WorkerWatch, consumers, kept_off
from pointsman_service.settings import Settings
from pointsman_service.store.metrics import watching
from pointsman_service.store.store import RowRefused, StatementRefused, Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.streams.epochs import Epoch
from pointsman_service.store.upkeep.revision import head, revision_of
from pointsman_service.store.upkeep.shape import lacking

_DATABASE_SECONDS = 1.0
_KEPT_SECONDS = 0.5
_SHAPE_SECONDS = 30.0
"""A schema that had everything is looked at again after so long; one that did not, each time."""
_NAMED = 5
"""So much of what a schema lacks is named."""
STALLED_SECONDS = 30.0
WORKERLESS_SECONDS = 30.0
"""So long no worker may be seen, as while the only one is replaced, until what is submitted now is not said to run."""
NO_TASK_TYPES = "no worker has published task types yet"
_DEPENDENT = ("task_types", "workers", *LedRole)
_UNJUDGED = "cannot be judged while the broker is away"
_TOLD_WHEN_READY = ("broker", "workers", "epoch", *LedRole, "recorder_lag")
"""Parts that delay something when they are not well, and keep nothing from being accepted and run."""


@dataclass(frozen=True, slots=True)
class PartState:
    """How one part is."""

    ok: bool
    detail: str
    """One line, whatever others wrote that it tells."""
    needed: bool = True
    """Whether the service is ready only when this part is ok."""
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", in_one_line(self.detail))


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What readiness asks the database. Nothing but the first two is known when the schema lacks something."""

    revision: str | None
    lacks: tuple[str, ...] = ()
    """What the schema does not have and this release needs."""
    task_types: int = 0
    unled: Mapping[LedRole, float] = field(default_factory=dict)
    """Seconds since somebody had each role; 0 while somebody has it."""
    epoch: Epoch | None = None
    positions: Mapping[str, str] = field(default_factory=dict)
    recorded_seconds_ago: float | None = None
    """Since the recorder last wrote anything down; None: it never did."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How every part of the service is."""

    parts: dict[str, PartState]

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would be accepted and will run: as soon as there is a broker and room on it, if
        there is none now.
        """
        return all(part.ok for part in self.parts.values() if part.needed)

    @property
    def reason(self) -> str:
        """Why not, in one line; of one that is ready, what is not well all the same."""
        if not self.ready:
            return "; ".join(part.detail for part in self.parts.values() if part.needed and not part.ok)
        found = [self.parts[name] for name in _TOLD_WHEN_READY if name in self.parts]
        return "; ".join(part.detail for part in found if not part.ok) or self.parts["broker"].detail


def judge(
    database: DatabaseFacts | str,
    broker: BrokerState,
    workers: list[WorkerFigures] | None,
    lag_seconds: float | None,
    settings: Settings,
) -> Readiness:
    """The parts from the facts. ``database`` is a string when it did not answer: why. ``workers`` are None when they
    are not known.
    """
    parts = {"broker": _broker(broker, settings)}
    if isinstance(database, str):
        parts["database"] = PartState(False, f"the database is away: {database}")
        return Readiness(parts | _unknown("the database is away", "migrations", *_DEPENDENT))
    parts["database"] = PartState(True, "the database answers")
    parts["migrations"] = _migrations(database)
    if not parts["migrations"].ok:
        return Readiness(parts | _unknown("the schema is another", *_DEPENDENT))
    parts["task_types"] = (
        PartState(True, f"{database.task_types} task types are known", figures={"count": database.task_types})
        if database.task_types
        else PartState(False, NO_TASK_TYPES)
    )
    parts["workers"] = _workers(workers, broker)
    parts["queues"] = _queues(workers, broker, settings)
    parts["epoch"] = _epoch(database.epoch, broker)
    for role in LedRole:
        parts[role] = _role(role, database.unled.get(role, float("inf")), settings.alert_role_missing_seconds)
    parts["recorder_lag"] = _lag(lag_seconds, database.recorded_seconds_ago)
    return Readiness(parts)


def _unknown(why: str, *names: str) -> dict[str, PartState]:
    return {name: PartState(False, f"not known while {why}", needed=False) for name in names}


def _broker(broker: BrokerState, settings: Settings) -> PartState:
    if broker.depths is None:
        detail = f"the broker is away ({broker.reason}): {sentences.NOTHING_STARTS}"
        return PartState(False, detail, needed=False)
    if broker.depths.broken:
        # Other queues go on.
        detail = f"the broker answers; {sentences.clause(sentences.broker_key(*broker.depths.broken))}"
        figures = {"memory_percent": broker.depths.memory_percent, "broken_keys": list(broker.depths.broken)}
        return PartState(False, detail, needed=broker.depths.stands_still, figures=figures)
    percent = broker.depths.memory_percent
    full = percent >= settings.dispatch_memory_percent
    detail = sentences.clause(sentences.broker_full(percent)) if full else "the broker answers"
    return PartState(not full, detail, needed=False, figures={"memory_percent": percent})


def _migrations(facts: DatabaseFacts) -> PartState:
    at, newest = facts.revision or "nothing", newest_revision()
    if not facts.lacks:
        same = f"the schema is at {at}"
        return PartState(True, same if at == newest else f"{same} and has what {newest} needs")
    named = ", ".join(facts.lacks[:_NAMED])
    more = len(facts.lacks) - _NAMED
    other = f"the schema is at {at}" + ("" if at == newest else f", not at {newest}")
    return PartState(False, f"{other}; it lacks {named}" + (f" and {more} more" if more > 0 else ""))


def _workers(workers: list[WorkerFigures] | None, broker: BrokerState) -> PartState:
    if not broker.up:
        return PartState(True, f"workers {_UNJUDGED}", needed=False)
    live = sum(worker.live is True for worker in workers or ())
    if workers is None or (not live and any(worker.live is None for worker in workers)):
        return PartState(True, "it is not known which workers live: nobody has watched them for long", needed=False)
    ejected = sum(worker.live is True and worker.ejected for worker in workers)
    detail = f"{counted(live, 'worker')} {'lives' if live == 1 else 'live'}" if live else "no worker lives"
    if ejected:
        detail += f", {ejected} of them ejected"
    silent = min((worker.heartbeat_age_seconds for worker in workers), default=WORKERLESS_SECONDS)
    needed = live > 0 or silent >= WORKERLESS_SECONDS
    return PartState(live > 0, detail, needed, {"live": live, "ejected": ejected})


def _queues(workers: list[WorkerFigures] | None, broker: BrokerState, settings: Settings) -> PartState:
    if not broker.up:
        return PartState(True, f"consumers {_UNJUDGED}", needed=False)
    known = {spec.name: consumers(workers or (), spec.name) for spec in settings.topology.queues}
    if workers is None or None in known.values():
        return PartState(True, "it is not known which queues have a live consumer", needed=False)
    lonely = [name for name, processes in known.items() if not processes]
    off = {name: kept_off(workers, name) for name in lonely}
    left = [name for name in lonely if not off[name]]
    said = [sentences.no_worker(left)] if left else []
    if len(left) < len(lonely):
        who = ", ".join(sorted({name for names in off.values() for name in names}))
        said.append(sentences.workers_ejected([name for name in lonely if off[name]], who))
    detail = "; ".join(map(sentences.clause, said)) or "every queue has a live consumer"
    return PartState(not lonely, detail, needed=False, figures={"without_consumer": lonely})


def _epoch(epoch: Epoch | None, broker: BrokerState) -> PartState:
    if epoch is None:
        return PartState(not broker.up, "no epoch of the broker has been declared yet")
    if epoch.opened_at is None:
        detail = f"epoch {epoch.epoch} is in census: tasks are sent when it is over"
        return PartState(False, detail, needed=False, figures={"epoch": epoch.epoch})
    return PartState(True, f"epoch {epoch.epoch} is open", figures={"epoch": epoch.epoch})


def _role(role: LedRole, unled_seconds: float, missing_seconds: float) -> PartState:
    if not unled_seconds:
        return PartState(True, f"a {role} leads", needed=False)
    if unled_seconds < missing_seconds:
        return PartState(False, f"the {role} changes hands", needed=False)
    since = "" if unled_seconds == float("inf") else f" for {unled_seconds:.0f} s"
    return PartState(False, f"no {role} leads{since}: {sentences.without(role)}", needed=False)


def _lag(lag_seconds: float | None, recorded_seconds_ago: float | None) -> PartState:
    if lag_seconds is None:
        return PartState(True, f"the recorder's lag {_UNJUDGED}", needed=False, figures={"seconds": None})
    seconds = round(lag_seconds, 3)
    if min(seconds, recorded_seconds_ago or 0.0) >= STALLED_SECONDS:
        # One that is only behind writes all the time.
        detail = f"the recorder has written nothing down for {recorded_seconds_ago:.0f} s though workers report"
        return PartState(False, detail, needed=False, figures={"seconds": seconds})
    detail = f"the oldest unrecorded event is {seconds:g} s old" if seconds else "every event is recorded"
    return PartState(True, detail, needed=False, figures={"seconds": seconds})


@lru_cache(maxsize=1)
def newest_revision() -> str:
    """The head of the migrations this process came with."""
    return head()


class ReadinessWatch:
    """Judges at most twice a second."""

    def __init__(self, store: Store, broker: BrokerWatch, workers: WorkerWatch, settings: Settings) -> None:
        self._store = store
        self._broker = broker
        self._workers = workers
        self._settings = settings
        self._kept = Kept(self._judge, _KEPT_SECONDS)
        self._facts = Kept(self._ask_database, 0.0)
        self._shape_good_until = float("-inf")

    async def read(self) -> Readiness:
        """How every part is; never raises for a part that is away."""
        return await self._kept.get()

    async def recorder_lag(self) -> float | None:
        """How far the recorder is behind, in seconds; None when it is not known. Raises the store's errors."""
        async with self._store.statement() as connection:
            epoch, positions = await epochs.current(connection), await epochs.positions(connection)
        return await self._broker.lag_seconds(positions, None if epoch is None else epoch.epoch)

    async def _judge(self) -> Readiness:
        database, broker = await asyncio.gather(self._database(), self._broker.state())
        if isinstance(database, str) or database.lacks:
            return judge(database, broker, None, None, self._settings)
        epoch = None if database.epoch is None else database.epoch.epoch
        workers, lag = await asyncio.gather(self._live(), self._broker.lag_seconds(database.positions, epoch))
        return judge(database, broker, workers, lag, self._settings)

    async def _database(self) -> DatabaseFacts | str:
        try:
            # Kept: a database that hangs holds one connection of this process, not one for every caller.
            return await within(_DATABASE_SECONDS, self._facts.get())
        except NotInTime as error:
            return str(error)
        except StatementRefused as error:
            self._shape_good_until = float("-inf")
            return type(error).__name__
        except DatabaseAway as error:
            return error.said or type(error).__name__
        except (ExpectedFault, RowRefused) as error:
            return type(error).__name__

    async def _live(self) -> list[WorkerFigures] | None:
        try:
            return await within(_DATABASE_SECONDS, self._workers.read())
        except (NotInTime, DatabaseAway, ExpectedFault):
            return None

    async def _ask_database(self) -> DatabaseFacts:
        async with self._store.statement() as connection:
            revision = await revision_of(connection)
            if time.monotonic() >= self._shape_good_until:
                lacks = await lacking(connection)
                if lacks:
                    return DatabaseFacts(revision, tuple(lacks))
                self._shape_good_until = time.monotonic() + _SHAPE_SECONDS
            return DatabaseFacts(
                revision=revision,
                task_types=await watching.task_type_count(connection),
                unled=unled_seconds(await watching.leads(connection), self._settings.leader_seconds),
                epoch=await epochs.current(connection),
                positions=await epochs.positions(connection),
                recorded_seconds_ago=await epochs.recorded_seconds_ago(connection),
            )
