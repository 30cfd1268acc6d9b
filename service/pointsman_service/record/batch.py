"""A batch of events, folded per task, and the one transaction that records it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.clean_text import clean
from pointsman_contract.events import (
    CatalogueBody,
    EventKind,
    OutcomeBody,
    ProgressBody,
    RevokedBody,
    StartedBody,
    UnclaimedBody,
)
from pointsman_contract.states import TaskState
from pointsman_service.breaker.registry import Called, Registry
from pointsman_service.record.by_worker import OutcomesByWorker
from pointsman_service.record.calls import CallsOfBreakers, calls_of
from pointsman_service.record.ended import end_of, expired_end_of, native_end_of
from pointsman_service.record.error_bounds import GroupBounds
from pointsman_service.record.events import Event
from pointsman_service.store.listeners import Ended, Listeners
from pointsman_service.store.lost import rescuing, unclaimed
from pointsman_service.store.lost.unclaimed import Unclaimed
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.reported import End, NativeEnd, Progressed, Refused, Revoked, Start
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import cancelling, recording
from pointsman_service.store.tasks.counting import count_start, pool_of_worker
from pointsman_service.store.tasks.ending import Ending
from pointsman_service.store.tasks.locking import lock_tasks
from pointsman_service.store.workers import catalogue

_NATIVE = {"SUCCESS": "succeeded", "FAILURE": "failed", "RETRY": "retried"}
_UNCLAIMED_SENDINGS = 3
_ENDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.BLOCKED, EventKind.EXPIRED)


def in_parts(events: Sequence[Event]) -> list[list[Event]]:
    """The events cut, in order, so that no part holds the ends of two attempts of one task.

    What the second of them means depends on what the first made of the row: a worker that was taken for dead may tell
    of its success beside that of the attempt that followed.
    """
    parts: list[list[Event]] = [[]]
    seen: dict[str, int] = {}
    for event in events:
        if event.kind in _ENDS and seen.setdefault(event.task, event.attempt) != event.attempt:
            parts.append([])
            seen = {event.task: event.attempt}
        parts[-1].append(event)
    return parts


class Batch:
    """What one of the parts of a run of events amounts to."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.starts: dict[str, Start] = {}
        self.ends: dict[str, End] = {}
        self.failures: list[End] = []
        self.groups: dict[str, str] = {}
        self.asks: list[tuple[str, int]] = []
        self.refused: list[Refused] = []
        self.blocked: dict[str, End] = {}
        self.stopped: dict[str, End] = {}
        self.calls: dict[str, list[Called]] = {}
        self.unclaimed: list[Unclaimed] = []
        self.revoked: dict[str, Revoked] = {}
        self.duplicates: list[tuple[StartedBody, datetime]] = []
        self.natives: list[NativeEnd] = []
        self.progress: dict[str, Progressed] = {}
        self.offers: dict[str, Sequence[TaskTypeSpec]] = {}
        for event in events:
            self._take(event)

    @property
    def tasks(self) -> set[str]:
        """The ids of all tasks whose rows may move."""
        told = {task for task, _ in self.asks} | {refused.id for refused in self.refused}
        told |= {message.id for message in self.unclaimed} | self.revoked.keys()
        ended = self.ends.keys() | self.blocked.keys() | self.stopped.keys()
        return told | self.starts.keys() | ended | self.progress.keys()

    def only_started(self) -> list[Start]:
        """The attempts that began and did not end here, or whose row must know them before it is said what follows."""
        ends = self.ends
        return [
            start
            for start in self.starts.values()
            if start.id not in ends or ends[start.id].retry_at or start.attempt > ends[start.id].attempt
        ]

    def regroup(self, instead: Mapping[str, str]) -> None:
        """Let failures count for other groups."""
        self.failures = [_regrouped(end, instead) for end in self.failures]
        self.ends = {task: _regrouped(end, instead) for task, end in self.ends.items()}

    def _take(self, event: Event) -> None:
        # Of the type that its kind has, from here on.
        body: Any = event.body
        match event.kind:
            case EventKind.STARTED:
                self._take_started(event, body)
            case EventKind.SUCCEEDED | EventKind.FAILED:
                self._take_end(event, body)
            case EventKind.EXPIRED:
                self._put(expired_end_of(event), ())
            case EventKind.ASK:
                self._take_ask(event, body)
            case EventKind.UNKNOWN:
                self._take_refused(event, body, UNKNOWN_TASK_TYPE)
            case EventKind.HELD:
                self._take_refused(event, body, BY_BREAKER + clean(event.breaker))
            case EventKind.UNCLAIMED:
                self._take_unclaimed(event, body)
            case EventKind.REVOKED:
                self._take_revoked(event, body)
            case EventKind.BLOCKED:
                self._take_blocked(event, body)
            case EventKind.DUPLICATE:
                self.duplicates.append((body, event.at))
            case EventKind.NATIVE:
                self.natives.append(native_end_of(event, body))
            case EventKind.PROGRESS:
                self._take_progress(event, body)
            case EventKind.CATALOGUE:
                self._take_catalogue(event, body)

    def _take_started(self, event: Event, body: StartedBody) -> None:
        self._take_start(Start(event.task, event.attempt, event.at, clean(body["worker"])))

    def _take_ask(self, event: Event, body: StartedBody) -> None:
        self.asks.append((event.task, body["dispatch"]))

    def _take_refused(self, event: Event, body: StartedBody, reason: str) -> None:
        self.refused.append(Refused(event.task, body["dispatch"], reason))

    def _take_unclaimed(self, event: Event, body: UnclaimedBody) -> None:
        self.unclaimed.append(Unclaimed(event.task, body["dispatch"], 1.0, clean(body["reason"])))

    def _take_progress(self, event: Event, body: ProgressBody) -> None:
        self.progress[event.task] = Progressed(event.task, body["attempt"], clean(body["progress"]))

    def _take_catalogue(self, event: Event, body: CatalogueBody) -> None:
        self.offers[clean(body["worker"])] = event.specs

    def _take_revoked(self, event: Event, body: RevokedBody) -> None:
        known = self.revoked.get(event.task)
        if known is None or body["kill"]:
            self.revoked[event.task] = Revoked(event.task, clean(body["by"]), body["kill"])

    def _take_start(self, start: Start) -> None:
        known = self.starts.get(start.id)
        if known is None or known.attempt < start.attempt:
            self.starts[start.id] = start

    def _take_blocked(self, event: Event, body: OutcomeBody) -> None:
        if event.late:
            return
        end = end_of(event, body)
        self.blocked[end.id] = end
        self._take_start_of(end)

    def _take_stopped(self, event: Event, body: OutcomeBody) -> None:
        end = end_of(event, body)
        self.stopped[end.id] = end
        self._take_start_of(end)
        # A probe gives its permit back.
        self.calls.setdefault(end.id, list(calls_of(event, body)))

    def _take_start_of(self, end: End) -> None:
        assert end.started_at is not None
        assert end.worker is not None
        # It is held, or waits again, on a row that knows the attempt.
        self._take_start(Start(end.id, end.attempt, end.started_at, end.worker))

    def _take_end(self, event: Event, body: OutcomeBody) -> None:
        if event.kind is EventKind.FAILED and event.late:
            # Somebody else holds the claim by now, and may yet succeed.
            return
        if event.kind is EventKind.FAILED and body.get("interrupted"):
            self._take_stopped(event, body)
            return
        end = end_of(event, body)
        if event.kind is EventKind.FAILED:
            self.failures.append(end)
            if end.error_group is not None:
                self.groups[end.error_group] = clean(body["task_type"])
            if end.retry_at is not None and end.started_at is not None and end.worker is not None:
                # Whether another attempt follows is decided on a row that knows this one.
                self._take_start(Start(end.id, end.attempt, end.started_at, end.worker))
        self._put(end, calls_of(event, body))

    def _put(self, end: End, calls: Iterable[Called]) -> None:
        known = self.ends.get(end.id)
        # Of one attempt: it was reported again, or killed after it had reported.
        if known is None or known.state != EventKind.SUCCEEDED or end.state == EventKind.SUCCEEDED:
            self.ends[end.id] = end
            self.calls[end.id] = list(calls)


def _regrouped(end: End, instead: Mapping[str, str]) -> End:
    other = instead.get(end.error_group or "")
    return end if other is None else end._replace(error_group=other)


async def record(
    connection: Connection,
    batch: Batch,
    registry: Registry,
    unclaimed_sendings: int = _UNCLAIMED_SENDINGS,
    listeners: Listeners = (),
    bounds: GroupBounds | None = None,
) -> None:
    """Write the batch; in the transaction that moves the position. Counters come from the rows that moved, and circuit
    breakers and ``listeners`` hear of no other attempt.
    """
    await lock_tasks(connection, batch.tasks)
    calls, offered = CallsOfBreakers(batch.calls), set[str]()
    known_groups = set[str]()
    if batch.groups and bounds is not None:
        known_groups, instead = await bounds.settle(connection, batch.groups)
        if instead:
            batch.regroup(instead)
    async with Ending(connection, (OutcomesByWorker(), *listeners, calls)) as ending:
        ending.known_groups = known_groups
        # Before the ends: an attempt that was killed for it has been cancelled, and did not fail.
        await cancelling.revoke(connection, list(batch.revoked.values()))
        for moved in await recording.begin(connection, batch.only_started()):
            start = batch.starts[moved.id]
            count_start(ending.tallies, moved, start.at, start.worker)
        await _end(ending, batch)
        await _show_progress(ending, batch)
        await recording.take_back(connection, batch.asks)
        await recording.hold(connection, batch.refused)
        await unclaimed.take_back(connection, batch.unclaimed, unclaimed_sendings)
        await recording.keep_native(connection, batch.natives)
        _count_others(ending.tallies, batch)
        for owner in sorted(batch.offers):
            if await catalogue.publish(connection, owner, batch.offers[owner]):
                offered |= {spec.name for spec in batch.offers[owner]}
    # Breakers last: they may keep others from writing the history of breakers.
    await registry.count(connection, calls.told, offered)


async def _end(ending: Ending, batch: Batch) -> None:
    """Whatever ended, with the attempts that did not succeed."""
    connection, ends = ending.connection, batch.ends
    for moved in await recording.retry(connection, [end for end in ends.values() if end.retry_at]):
        ending.ends.retried.append(Ended(moved, ends[moved.id]))
    await ending.end(list(ends.values()))
    if batch.failures:
        ended = {one.moved.id: one.moved.state for one in (*ending.ends.retried, *ending.ends.tasks)}
        kept = [
            failure._replace(error_group=None) if ended[failure.id] == TaskState.CANCELLED else failure
            for failure in batch.failures
            if failure.id in ended
        ]
        await recording.keep_attempts(connection, kept)
    for write, interrupted in ((recording.block, batch.blocked), (rescuing.stop, batch.stopped)):
        moved_here = await write(connection, list(interrupted.values()))
        await recording.keep_attempts(connection, [interrupted[moved.id] for moved in moved_here])
        ending.ends.interrupted += [Ended(moved, interrupted[moved.id]) for moved in moved_here]


async def _show_progress(ending: Ending, batch: Batch) -> None:
    if not batch.progress:
        return
    ends = ending.ends
    ended = {one.moved.id for one in (*ends.tasks, *ends.retried, *ends.interrupted)}
    told = [progressed for progressed in batch.progress.values() if progressed.id not in ended]
    await recording.show_progress(ending.connection, told)


def _count_others(tallies: Tallies, batch: Batch) -> None:
    for body, at in batch.duplicates:
        pool = pool_of_worker(clean(body["worker"]))
        tallies.of(clean(body["task_type"]), clean(body["queue"]), at, pool=pool).counts["duplicates"] += 1
    for native in batch.natives:
        error, pool = native.error_type or None, pool_of_worker(native.worker)
        tally = tallies.of(native.task_type, native.queue, native.finished_at, pool=pool, error=error)
        tally.counts.update(native=1, executions=1)
        tally.ran(native.run_seconds)
        counted = _NATIVE.get(native.state)
        if counted is not None:
            tally.counts.update({counted: 1, f"native_{counted}": 1})
