"""What a breaker does now, as a sentence, and what was done to it."""

from datetime import datetime

from pointsman_service.dashboard.breakers.here import SCOPES, WORKER
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import number, some
from pointsman_service.dashboard.components.moments import clock
from pointsman_service.observe.breaker_reader import BreakerState, Seen
from pointsman_service.observe.breakers import BreakerNow


def name_of(breaker: BreakerNow) -> str:
    """``dependency smtp``."""
    return f"{SCOPES[breaker.scope]} {breaker.name}"


def sentence_of(seen: Seen, now: datetime) -> str:
    """What it lets through, since when, and what comes next. Nothing in it changes while nothing happens."""
    breaker = seen.breaker
    return f"{_state(breaker, now)} {held_of(seen)}".strip()


def held_of(seen: Seen) -> str:
    """How many tasks it holds."""
    if seen.breaker.scope == WORKER:
        return ""
    if not seen.tasks:
        return "No task is held."
    if seen.is_all and seen.tasks == 1:
        return "1 task is held; being held spends no attempt."
    more = "" if seen.is_all else " or more"
    return f"{some(seen.tasks, 'task')}{more} are held; being held spends no attempt."


def _state(breaker: BreakerNow, now: datetime) -> str:
    policy = breaker.policy
    if breaker.by_hand is not None:
        until = breaker.by_hand.expires_at
        ends = "until somebody takes that away" if until is None else f"until {clock(until, now)} UTC"
        what = "Nothing passes" if breaker.by_hand.state is BreakerState.FORCED_OPEN else "Everything passes, uncounted"
        return f"{what}, {ends}: set by {breaker.by_hand.actor}."
    if breaker.state is BreakerState.OPEN:
        since = "" if breaker.opened_at is None else f" since {clock(breaker.opened_at, now)} UTC"
        trips = (
            f" It opened {number(breaker.trips)} times in a row, so it waits longer each time."
            if breaker.trips > 1
            else ""
        )
        return f"Nothing passes{since}.{trips}"
    if breaker.state is BreakerState.HALF_OPEN:
        return f"{_tried(breaker, policy.half_open_permits)} {_closes(breaker, policy.half_open_successes)}"
    if breaker.failures:
        return f"Everything passes; {some(breaker.failures, 'failure')} in a row so far{_of(policy.failure_threshold)}."
    return "Everything passes."


def _tried(breaker: BreakerNow, at_once: int) -> str:
    if not breaker.probes:
        return f"It is to be tried: {some(at_once, 'probe')} may pass at once, and none is under way."
    under_way = "1 probe is" if breaker.probes == 1 else f"{number(breaker.probes)} probes are"
    return f"It is being tried: {under_way} under way, of {number(at_once)} at once."


def _closes(breaker: BreakerNow, successes: int) -> str:
    done = number(breaker.probes_succeeded) if breaker.probes_succeeded else "none"
    return f"It closes after {some(successes, 'success', 'successes')}; {done} so far."


def _of(threshold: int | None) -> str:
    return "" if threshold is None else f" of the {threshold} that open it"


def ramp_of(seen: Seen) -> str | None:
    """How fast what is held goes once it has closed; None where nothing is held."""
    if not seen.tasks:
        return None
    rate = number(seen.breaker.policy.release_per_second)
    goes = f"{rate} a second at first, twice as many every five seconds, the most urgent first"
    if seen.breaker.state is BreakerState.CLOSED:
        return f"What was held goes now: {goes}."
    return f"When it closes, what is held goes {goes}."


def waits_of(breaker: BreakerNow) -> str:
    """How long it stays open, by its policy."""
    policy = breaker.policy
    first, longest = duration(policy.recovery_timeout), duration(policy.recovery_timeout_max)
    return first if first == longest else f"{first}, doubled each time up to {longest}"
