"""From facts to the first page. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pointsman_contract.states import TaskState
from pointsman_service.now.causes import causes_of
from pointsman_service.now.facts import Facts, Tripped
from pointsman_service.now.of_breakers import error_of
from pointsman_service.now.picture import (
    BreakerLine,
    Cause,
    LastHour,
    Now,
    Overall,
    Predicted,
    QueueLine,
    QueueState,
    Unknown,
    Urgency,
    said,
)
from pointsman_service.now.words import number, over, quoted
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.spans import moment, span

_NOBODY = Prediction.unsaid(Reason.NOT_KNOWN)


def compose(facts: Facts) -> Now:
    """The first page."""
    causes = causes_of(facts)
    unknown = tuple(_unknown(facts))
    return Now(
        as_of=facts.now,
        recorded_up_to=facts.recorded_up_to,
        verdict=_verdict(causes, unknown),
        sentence=_sentence(causes, unknown, facts.last_hour),
        causes=causes,
        queues=tuple(_queue(queue, facts) for queue in facts.queues),
        breakers=tuple(_breaker(tripped) for tripped in facts.breakers),
        breakers_in_all=facts.breakers_in_all,
        errors=tuple(facts.errors),
        changes=tuple(facts.changes),
        lately=tuple(facts.lately),
        last_hour=facts.last_hour,
        unknown=unknown,
        running=tuple(facts.worked),
    )


def _unknown(facts: Facts) -> Iterator[Unknown]:
    if facts.database is not None:
        yield Unknown("database", facts.database.since, sentences.database_away(facts.database.reason))
    if facts.broker is not None:
        taken = facts.database is None
        why = f"{sentences.broker_away(facts.broker.reason, taken=taken)} Which workers live is not known."
        yield Unknown("broker", facts.broker.since, why)
    if facts.database is not None:
        return
    if facts.lacks("recorder"):
        yield Unknown("recorder", facts.recorded_up_to, sentences.no_role("recorder"))
    elif facts.are_old:
        yield Unknown("recorder", facts.recorded_up_to, sentences.recorder_behind(facts.lag_seconds or 0.0))
    if facts.lacks("reconciler"):
        yield Unknown("reconciler", facts.unled_since("reconciler"), sentences.no_role("reconciler"))


def _verdict(causes: tuple[Cause, ...], unknown: tuple[Unknown, ...]) -> Overall:
    if any(cause.severity is not Urgency.NOTICE for cause in causes):
        return Overall.DEGRADED
    return Overall.UNKNOWN if unknown else Overall.HEALTHY


def _sentence(causes: tuple[Cause, ...], unknown: tuple[Unknown, ...], hour: LastHour | None) -> str:
    wrong = [cause for cause in causes if cause.severity is not Urgency.NOTICE]
    if wrong:
        more = f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""
        return said(wrong[0].parts) + more
    if unknown:
        return unknown[0].why
    return "All is well." if hour is None else f"All is well. {_figures(hour)}"


def _figures(hour: LastHour) -> str:
    started = hour.started_within_target
    met = "none started" if started is None else f"{_percent(started)} started within target"
    return f"{number(hour.tasks, 'task')} in the last hour, {met}, {hour.failed:,} failed for good."


def _percent(share: float) -> str:
    """Never more than it is: 100 % is all of them."""
    return f"{int(share * 1000) / 10:g} %"


def _queue(queue: QueueFigures, facts: Facts) -> QueueLine:
    said_of = facts.predictions.get(queue.name, _NOBODY)
    state, reason = _state(queue, said_of, facts)
    came, went = facts.series.get(queue.name, ((), ()))
    return QueueLine(
        name=queue.name,
        priority=queue.priority,
        sla_seconds=queue.sla_seconds,
        met_today=facts.met_today.get(queue.name),
        oldest_wait_seconds=queue.oldest_wait_seconds,
        predicted=Predicted(said_of.p95_seconds, None if said_of.reason is None else str(said_of.reason)),
        in_per_minute=round(queue.arrival_rate * 60, 1),
        out_per_minute=round(queue.service_rate * 60, 1),
        in_series=came,
        out_series=went,
        waiting=queue.depth,
        running=queue.running,
        held=queue.states.get(TaskState.HELD, 0),
        busy=facts.busy.get(queue.name),
        processes=queue.consumers,
        state=state,
        state_since=_state_since(queue, state, facts),
        state_reason=reason,
    )


def _state(queue: QueueFigures, prediction: Prediction, facts: Facts) -> tuple[QueueState, str | None]:
    oldest = queue.oldest_wait_seconds
    if queue.paused:
        return QueueState.PAUSED, f"by {queue.paused_by}{quoted(queue.pause_reason)}"
    why = _not_known(facts)
    if why is not None:
        return QueueState.UNKNOWN, why
    if queue.depth and queue.consumers == 0:
        return QueueState.NO_WORKER, "no live worker takes from it"
    if oldest is not None and oldest > queue.sla_seconds:
        return QueueState.LATE, over(oldest, queue.sla_seconds)
    if prediction.p95_seconds is not None and prediction.p95_seconds > queue.sla_seconds:
        return QueueState.AT_RISK, f"a task submitted now is expected to wait for {span(prediction.p95_seconds)}"
    held = queue.states.get(TaskState.HELD, 0)
    if held:
        return QueueState.HELD, f"{number(held, 'task')} {'is' if held == 1 else 'are'} held"
    if queue.depth and queue.consumers is None:
        return QueueState.UNKNOWN, "whether a worker of it lives is not known now"
    return QueueState.OK, "nothing waits; no live worker takes from it" if queue.consumers == 0 else None


def _state_since(queue: QueueFigures, state: QueueState, facts: Facts) -> datetime | None:
    if state is QueueState.LATE and queue.oldest_wait_seconds is not None:
        return facts.now - timedelta(seconds=queue.oldest_wait_seconds - queue.sla_seconds)
    return queue.paused_at


def _not_known(facts: Facts) -> str | None:
    """Why nothing can be said of how queues do now."""
    if facts.database is not None:
        return f"as of {moment(facts.seen_at, facts.now)}" if facts.seen_at is not None else "PostgreSQL is away"
    if facts.are_old:
        at = facts.recorded_up_to
        return "figures are old" if at is None else f"figures are of {moment(at, facts.now)}"
    if facts.broker is None:
        return None
    at = facts.broker.since
    return "Redis is away" if at is None else f"Redis is away since {moment(at, facts.now)}"


def _breaker(tripped: Tripped) -> BreakerLine:
    return BreakerLine(
        scope=tripped.scope,
        name=tripped.name,
        state=tripped.seen,
        since=tripped.since,
        error=None if tripped.error is None else error_of(tripped.error, tripped.group),
        held=tripped.held,
        next_probe_at=tripped.retry_at,
        by=tripped.by,
        reason=tripped.reason,
    )
