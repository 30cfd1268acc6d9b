"""A batch of events, folded per task, and the one transaction that records it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.clean_text import clean
from pointsman_contract.errors import ErrorType
from pointsman_contract.events import EventKind
from pointsman_contract.retry import MAX_ATTEMPTS
from pointsman_service.breaker.registry import Called, Registry
from pointsman_service.record.by_worker import OutcomesByWorker
from pointsman_service.record.calls import CallsOfBreakers, calls_of
from pointsman_service.record.events import Event
from pointsman_service.store import cancelling, catalogue, recording, rescuing, unclaimed
from pointsman_service.store.catalogue import UNKNOWN_TASK_TYPE
from pointsman_service.store.counting import count_start
from pointsman_service.store.ending import Ending
from pointsman_service.store.holding import BY_BREAKER
from pointsman_service.store.listeners import Ended, Listeners
from pointsman_service.store.locking import lock_tasks
from pointsman_service.store.metrics import Tallies
from pointsman_service.store.reported import End, NativeEnd, Progressed, Refused, Revoked, Start
from pointsman_service.store.store import Connection
from pointsman_service.store.unclaimed import Unclaimed

_LONGEST_WAIT_SECONDS = 10 * 366 * 86_400.0
_NATIVE = {"SUCCESS": "succeeded", "FAILURE": "failed", "RETRY": "retried"}
_UNCLAIMED_SENDINGS = 3
_EXECUTIONS = (EventKind.SUCCEEDED, EventKind.FAILED)
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
        self.asks: list[tuple[str, int]] = []
        self.refused: list[Refused] = []
        self.blocked: dict[str, End] = {}
        self.stopped: dict[str, End] = {}
        self.calls: dict[str, list[Called]] = {}
        self.unclaimed: list[Unclaimed] = []
        self.revoked: dict[str, Revoked] = {}
        self.duplicates: list[Event] = []
        self.natives: list[NativeEnd] = []
        self.progress: dict[str, Progressed] = {}
        self.offers: dict[str, list[TaskTypeSpec]] = {}
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

    def _take(self, event: Event) -> None:
        match event.kind:
            case EventKind.STARTED:
                self._take_start(Start(event.task, event.attempt, event.at, clean(event.body["worker"])))
            case EventKind.SUCCEEDED | EventKind.FAILED | EventKind.EXPIRED:
                self._take_end(event)
            case EventKind.ASK:
                self.asks.append((event.task, event.body["dispatch"]))
            case EventKind.UNKNOWN:
                self.refused.append(Refused(event.task, event.body["dispatch"], UNKNOWN_TASK_TYPE))
            case EventKind.HELD:
                reason = BY_BREAKER + clean(event.breaker)
                self.refused.append(Refused(event.task, event.body["dispatch"], reason))
            case EventKind.UNCLAIMED:
                reason = clean(event.body["reason"])
                self.unclaimed.append(Unclaimed(event.task, event.body["dispatch"], 1.0, reason))
            case EventKind.REVOKED:
                self._take_revoked(Revoked(event.task, clean(event.body["by"]), event.body["kill"]))
            case EventKind.BLOCKED:
                self._take_blocked(event)
            case EventKind.DUPLICATE:
                self.duplicates.append(event)
            case EventKind.NATIVE:
                self.natives.append(self._native(event))
            case EventKind.PROGRESS:
                told = Progressed(event.task, event.body["attempt"], clean(event.body["progress"]))
                self.progress[told.id] = told
            case EventKind.CATALOGUE:
                self.offers[clean(event.body["worker"])] = event.body["specs"]

    def _take_revoked(self, asked: Revoked) -> None:
        known = self.revoked.get(asked.id)
        if known is None or asked.kill:
            self.revoked[asked.id] = asked

    def _take_start(self, start: Start) -> None:
        known = self.starts.get(start.id)
        if known is None or known.attempt < start.attempt:
            self.starts[start.id] = start

    def _take_blocked(self, event: Event) -> None:
        if event.late:
            return
        end = self._end(event)
        self.blocked[end.id] = end
        self._take_start_of(end)

    def _take_stopped(self, event: Event) -> None:
        end = self._end(event)
        self.stopped[end.id] = end
        self._take_start_of(end)
        # A probe gives its permit back.
        self.calls.setdefault(end.id, list(calls_of(event)))

    def _take_start_of(self, end: End) -> None:
        assert end.started_at is not None
        assert end.worker is not None
        # It is held, or waits again, on a row that knows the attempt.
        self._take_start(Start(end.id, end.attempt, end.started_at, end.worker))

    def _take_end(self, event: Event) -> None:
        if event.kind is EventKind.FAILED and event.late:
            # Somebody else holds the claim by now, and may yet succeed.
            return
        if event.kind is EventKind.FAILED and event.body.get("interrupted"):
            self._take_stopped(event)
            return
        end = self._end(event)
        if event.kind is EventKind.FAILED:
            self.failures.append(end)
            if end.retry_at is not None and end.started_at is not None and end.worker is not None:
                # Whether another attempt follows is decided on a row that knows this one.
                self._take_start(Start(end.id, end.attempt, end.started_at, end.worker))
        known = self.ends.get(end.id)
        # Of one attempt: it was reported again, or killed after it had reported.
        if known is None or known.state != EventKind.SUCCEEDED or end.state == EventKind.SUCCEEDED:
            self.ends[end.id] = end
            self.calls[end.id] = list(calls_of(event))

    def _end(self, event: Event) -> End:
        ran = event.kind is not EventKind.EXPIRED
        error_type, message, trace = event.error
        result, progress = event.body.get("result"), event.body.get("progress")
        held_by = clean(event.body["held_by"]) if event.kind is EventKind.BLOCKED else None
        return End(
            id=event.task,
            attempt=event.attempt,
            state=str(event.kind),
            finished_at=event.at,
            started_at=event.started_at,
            worker=clean(event.body["worker"]) if ran else None,
            run_seconds=event.body["run_seconds"] if ran else None,
            result=None if result is None else clean(result),
            error_type=error_type if held_by is None else ErrorType.HELD,
            error_message=message,
            error_traceback=trace,
            progress=None if progress is None else clean(progress),
            retry_at=self._retry_at(event),
            max_attempts=_budget(event.body.get("max_attempts")),
            breaker=held_by,
            timed_out=event.kind is EventKind.FAILED and bool(event.body.get("timed_out")),
            executed=event.kind in _EXECUTIONS and not event.body.get("interrupted"),
        )

    def _retry_at(self, event: Event) -> datetime | None:
        wait = event.body.get("retry_in_seconds")
        if event.kind is not EventKind.FAILED or wait is None or event.body.get("permanent"):
            return None
        assert event.started_at is not None
        ended_at = event.started_at + timedelta(seconds=event.body["run_seconds"])
        return ended_at + timedelta(seconds=min(max(wait, 0.0), _LONGEST_WAIT_SECONDS))

    def _native(self, event: Event) -> NativeEnd:
        body = event.body
        return NativeEnd(
            clean(event.task),
            clean(body["task_type"]),
            clean(body["queue"]),
            clean(body["worker"]),
            clean(body["state"]),
            body["run_seconds"],
            event.at,
            *event.error,
        )


def _budget(named: Any) -> int | None:
    """What the column takes; a task may ask for whatever it likes."""
    return None if named is None else max(1, min(int(named), MAX_ATTEMPTS))


async def record(
    connection: Connection,
    batch: Batch,
    registry: Registry,
    unclaimed_sendings: int = _UNCLAIMED_SENDINGS,
    listeners: Listeners = (),
) -> None:
    """Write the batch; in the transaction that moves the position. Counters come from the rows that moved, and circuit
    breakers and ``listeners`` hear of no other attempt.
    """
    await lock_tasks(connection, batch.tasks)
    # Breakers last: they may keep others from writing the history of breakers.
    told = (OutcomesByWorker(), *listeners, CallsOfBreakers(registry, batch.calls))
    async with Ending(connection, told) as ending:
        # Before the ends: an attempt that was killed for it has been cancelled, and did not fail.
        await cancelling.revoke(connection, list(batch.revoked.values()))
        for moved in await recording.begin(connection, batch.only_started()):
            count_start(ending.tallies, moved, batch.starts[moved.id].at)
        await _end(ending, batch)
        await _show_progress(ending, batch)
        await recording.take_back(connection, batch.asks)
        await recording.hold(connection, batch.refused)
        await unclaimed.take_back(connection, batch.unclaimed, unclaimed_sendings)
        await recording.keep_native(connection, batch.natives)
        _count_others(ending.tallies, batch)
        for owner in sorted(batch.offers):
            await catalogue.publish(connection, owner, batch.offers[owner])


async def _end(ending: Ending, batch: Batch) -> None:
    """Whatever ended, with the attempts that did not succeed."""
    connection, ends = ending.connection, batch.ends
    for moved in await recording.retry(connection, [end for end in ends.values() if end.retry_at]):
        ending.ends.retried.append(Ended(moved, ends[moved.id]))
    await ending.end(list(ends.values()))
    if batch.failures:
        ended = {one.moved.id for one in (*ending.ends.retried, *ending.ends.tasks)}
        await recording.keep_attempts(connection, [failure for failure in batch.failures if failure.id in ended])
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
    for event in batch.duplicates:
        tallies.of(clean(event.body["task_type"]), clean(event.body["queue"]), event.at).counts["duplicates"] += 1
    for native in batch.natives:
        tally = tallies.of(native.task_type, native.queue, native.finished_at)
        tally.counts.update(native=1, executions=1)
        tally.ran(native.run_seconds)
        counted = _NATIVE.get(native.state)
        if counted is not None:
            tally.counts.update({counted: 1, f"native_{counted}": 1})
