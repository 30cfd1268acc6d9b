"""From what was read to the facts of the first page. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pointsman_service.alert.alert import alert_of
from pointsman_service.alert.kinds import Rule
from pointsman_service.failures.frames import innermost
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.now.changes import changes
from pointsman_service.now.facts import Example, Facts, Failure, Group, Mix, Tripped, TypeRuns
from pointsman_service.now.hours import Hours
from pointsman_service.now.picture import ErrorLine
from pointsman_service.now.words import failure
from pointsman_service.observe.backlog import Backlog, backlogs
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.explain.facts import Publisher, RunningNow
from pointsman_service.observe.explain.nodes import by_type, nodes_of, runs_of
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.queues import QueueFigures, queue_figures, windows_of
from pointsman_service.observe.roles import RECONCILER, STAND_IN, unled_seconds
from pointsman_service.observe.workers import WorkerFigures, worker_figures
from pointsman_service.settings import Settings
from pointsman_service.store.first_page.beside import Around, Asked, GroupRow
from pointsman_service.store.first_page.moving import MOST_COUNTED, BreakerRow, Look
from pointsman_service.store.metrics.watching import LeadRow
from pointsman_service.store.queues.holding import BY_BREAKER

_MOST_BREAKERS = 10
_MOST_LATE = 3
_MOST_TYPES = 20
_MINUTES = 15


def leads_of(look: Look) -> dict[str, LeadRow]:
    """Every lead that anybody ever had, by name."""
    return {row.name: LeadRow(row.left_seconds, row.given_up) for row in look.leads}


def workers_of(look: Look, broker: BrokerState, settings: Settings, liveness: Liveness | None) -> list[WorkerFigures]:
    """The workers that were seen within an hour."""
    leads = leads_of(look)
    are_fed = any(leads[name].left_seconds > 0 for name in (RECONCILER, STAND_IN) if name in leads)
    rows = [{**row, "started_at": datetime.fromisoformat(row["started_at"])} for row in look.workers]
    held = {row.name: row for row in look.ejections}
    opened_at = look.epoch_opened_at
    seconds = None if opened_at is None else (look.now - opened_at).total_seconds()
    return worker_figures(
        rows, broker, settings.worker_dead_seconds, held, liveness, are_fed=are_fed, beats_seconds=seconds
    )


def asked_of(look: Look, broker: BrokerState, settings: Settings) -> Asked:
    """What to ask beside: only of what is wrong."""
    tripped = [f"{row.scope}:{row.name}" for row in look.breakers[:_MOST_BREAKERS]]
    found = _backlogs(look, settings)
    late = [
        spec.name
        for spec in settings.topology.queues
        if (found[spec.name].oldest_wait_seconds or 0.0) > spec.sla_seconds
    ]
    types = {row.name for row in look.breakers[:_MOST_BREAKERS] if row.scope == "task_type"}
    types |= {alert.subject for alert in look.alerts if alert.rule == Rule.DEAD_LETTERS and alert.subject}
    unknown = {alert.subject.rpartition("@")[0] for alert in look.alerts if alert.rule == Rule.UNKNOWN_TASK_TYPE}
    return Asked(
        reasons=[BY_BREAKER + key for key in tripped],
        blamed=tripped,
        task_types=sorted(types)[:_MOST_TYPES],
        run_ids=[run for queue in late for run in runs_of(queue, broker)],
        queues=late[:_MOST_LATE],
        unknown=sorted(filter(None, unknown))[:_MOST_TYPES],
    )


def facts_of(
    look: Look,
    around: Around | None,
    hours: Hours,
    broker: BrokerState,
    workers: Sequence[WorkerFigures],
    settings: Settings,
    predictions: PredictionView,
) -> Facts:
    """The facts of one moment, but for what is told of the broker and of the recorder."""
    queues = _queues(look, around, broker, workers, settings)
    told = _Told(look, around, queues)
    return Facts(
        now=look.now,
        lag_limit_seconds=settings.alert_recorder_lag_seconds,
        unled={str(role): seconds for role, seconds in unled_seconds(leads_of(look), settings.leader_seconds).items()},
        missing_seconds=settings.alert_role_missing_seconds,
        memory_percent=None if broker.depths is None else broker.depths.memory_percent,
        full_percent=settings.dispatch_memory_percent,
        alerts=[alert_of(row) for row in look.alerts],
        queues=queues,
        seen_at=look.now,
        predictions={queue.name: predictions.of(queue.name, queue.priority) for queue in queues},
        nodes={queue.name: nodes_of(queue.name, workers, look.now) for queue in queues},
        running=_running(look, around, queues, broker, hours.usual),
        mixes=told.mixes(),
        busy={queue.name: _busy(queue, workers) for queue in queues},
        met_today=hours.met_today,
        series=told.series(),
        breakers=[told.tripped(row) for row in look.breakers],
        breakers_in_all=look.breakers_in_all if look.breakers_in_all <= MOST_COUNTED else None,
        failing=told.failing(),
        examples=told.examples(),
        types=told.types(),
        publishers=told.publishers(),
        errors=[_error(group) for group in (() if around is None else around.groups) if group.place <= 8],
        changes=() if around is None else changes(around.changes, around.versions),
        changes_without_payloads=()
        if around is None
        else changes(around.changes, around.versions, reads_payloads=False),
        lately=hours.lately,
        last_hour=hours.last_hour,
    )


def _backlogs(look: Look, settings: Settings) -> dict[str, Backlog]:
    return backlogs(look.backlog, (spec.name for spec in settings.topology.queues))


def _queues(
    look: Look, around: Around | None, broker: BrokerState, workers: Sequence[WorkerFigures], settings: Settings
) -> list[QueueFigures]:
    windows = None if broker.depths is None else windows_of(broker.depths, settings.window_initial)
    found = queue_figures(
        settings.topology.queues, _backlogs(look, settings), (), workers, look.pauses, broker.set_aside, windows
    )
    flow = {row.queue: row for row in (() if around is None else around.flow)}
    return [
        replace(queue, arrival_rate=row.submitted / row.seconds, service_rate=row.executions / row.seconds)
        if (row := flow.get(queue.name)) is not None and row.seconds > 0
        else queue
        for queue in found
    ]


def _running(
    look: Look,
    around: Around | None,
    queues: Iterable[QueueFigures],
    broker: BrokerState,
    usual: Mapping[str, float],
) -> dict[str, tuple[RunningNow, ...]]:
    rows = {str(row.id): row for row in (() if around is None else around.running)}
    return {
        queue.name: by_type([rows[run] for run in runs_of(queue.name, broker) if run in rows], usual, look.now)
        for queue in queues
    }


def _busy(queue: QueueFigures, workers: Iterable[WorkerFigures]) -> int | None:
    there = [
        worker
        for worker in workers
        if queue.name in worker.queues and worker.live and not worker.ejected and not worker.left
    ]
    known = [min(worker.busy, worker.processes) for worker in there if worker.busy is not None]
    return sum(known) if len(known) == len(there) else None


class _Told:
    """What ``around`` tells beside a look, by what it is of."""

    def __init__(self, look: Look, around: Around | None, queues: Sequence[QueueFigures]) -> None:
        self._look = look
        self._around = around
        self._queues = queues
        self._groups = () if around is None else around.groups

    def tripped(self, row: BreakerRow) -> Tripped:
        """A circuit breaker with what it holds and what it counts."""
        key = f"{row.scope}:{row.name}"
        reason = BY_BREAKER + key
        by_hand = row.override if row.seen == "forced_open" else None
        held = [one for one in (() if self._around is None else self._around.held) if one.reason == reason]
        error = row.last_error
        return Tripped(
            scope=row.scope,
            name=row.name,
            seen=row.seen,
            since=row.since,
            error=None if error is None else Failure(error["type"], error["message"], error["task_id"], error["count"]),
            retry_at=row.lets_through_at if row.seen == "open" else None,
            by=None if by_hand is None else by_hand["actor"],
            reason=None if by_hand is None else by_hand["reason"],
            until=None if by_hand is None else _moment(by_hand.get("expires_at")),
            held=sum(part.tasks for queue in self._queues for part in queue.held_by if part.reason == reason),
            held_types={one.task_type: one.tasks for one in held},
            held_since=min((one.since for one in held if one.since is not None), default=None),
            group=next((_group(group) for group in self._groups if group.blamed == key), None),
        )

    def failing(self) -> dict[str, tuple[Failure, Group]]:
        """By task type, what most of its failures are."""
        found: dict[str, tuple[Failure, Group]] = {}
        for row in sorted(self._groups, key=lambda group: -group.count):
            if row.error_type is not None:
                found.setdefault(row.task_type, _example(row))
        return found

    def examples(self) -> dict[str, Example]:
        """By error group, its newest failure."""
        known = (row for row in self._groups if row.error_type is not None)
        return {str(row.id): Example(row.task_type, *_example(row)) for row in known}

    def types(self) -> dict[str, TypeRuns]:
        """What attempts of the types that fail came to."""
        if self._around is None:
            return {}
        since: dict[str, datetime] = {}
        for version in self._around.versions:
            for name in version.task_types:
                since.setdefault(name, version.at)
        return {
            row.task_type: TypeRuns(row.executions, row.failed, row.succeeded, since.get(row.task_type))
            for row in self._around.runs
        }

    def publishers(self) -> dict[str, Publisher]:
        """Who published the types that nobody knows."""
        found = () if self._around is None else self._around.publishers
        return {row.task_type: Publisher(row.name, row.last_seen_at, row.published_at) for row in found}

    def mixes(self) -> dict[str, Mix]:
        """What waits on the queues that are late."""
        return {
            row.queue: Mix(
                row.looked_at,
                row.task_type,
                row.of_type / row.looked_at,
                None if row.tag is None else _tag(row.tag),
                row.tagged / row.looked_at,
                row.submitted_from,
                row.submitted_to,
            )
            for row in (() if self._around is None else self._around.waits)
        }

    def series(self) -> dict[str, tuple[tuple[float | None, ...], tuple[float | None, ...]]]:
        """What came and went by minute, a minute."""
        if self._around is None:
            return {}
        rates = {(row.queue, row.figure, row.ago): round(row.rate * 60, 1) for row in self._around.minutes}
        agos = range(_MINUTES, 0, -1)
        return {
            queue.name: (
                tuple(rates.get((queue.name, "arrival_rate", ago)) for ago in agos),
                tuple(rates.get((queue.name, "service_rate", ago)) for ago in agos),
            )
            for queue in self._queues
        }


def _group(row: GroupRow) -> Group:
    return Group(row.id, row.first_seen_at, innermost(row.traceback), row.count)


def _example(row: GroupRow) -> tuple[Failure, Group]:
    failure = Failure(row.error_type or "", row.example_message, str(row.example_task_id), row.count)
    return failure, _group(row)


def _error(row: GroupRow) -> ErrorLine:
    return ErrorLine(
        id=row.id,
        label=failure(row.error_type, row.message) if row.error_type else row.message,
        task_type=row.task_type,
        count=row.count,
        badge="back again" if row.is_back else "new" if row.is_new else None,
        since=row.changed_at if row.is_back else row.first_seen_at,
    )


def _tag(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


def _moment(unix_seconds: float | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)
