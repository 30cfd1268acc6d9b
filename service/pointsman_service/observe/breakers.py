"""One circuit breaker as it is now, and what it went through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import BreakerState, Bucket
from pointsman_service.breaker.entry import Entry, error_of_row
from pointsman_service.breaker.last_error import LastError
from pointsman_service.store.breakers.breakers import TransitionRow


@dataclass(frozen=True, slots=True)
class SetByHand:
    """What somebody set by hand; it stands above what the breaker itself would do."""

    state: BreakerState
    """``forced_open`` or ``disabled``."""
    actor: str
    reason: str
    expires_at: datetime | None
    """None: until somebody takes it away."""


@dataclass(frozen=True, slots=True)
class CountedError:
    """The newest failure that a breaker had counted."""

    type: str
    """The exception's class."""
    message: str
    task_id: str | None
    """None: reported by a caller."""
    at: datetime
    count: int
    """Failures with this exception in one run."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of the state that callers see."""

    id: int
    """Rises with time."""
    scope: str
    name: str
    at: datetime
    epoch: int
    before: str
    after: str
    reason: str
    actor: str
    """``breaker`` itself, or who did it by hand."""
    error: CountedError | None
    """Of one that opened by itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a breaker counted within the sliding window of its policy, while closed."""

    calls: int
    failures: int
    slow: int


@dataclass(frozen=True, slots=True)
class BreakerNow:
    """One circuit breaker."""

    scope: str
    name: str
    state: BreakerState
    """What callers see: what was set by hand stands above the others."""
    epoch: int
    failures: int
    """In a row, while closed."""
    trips: int
    """Openings that followed soon on one another; each doubles the wait."""
    opened_at: datetime | None
    """When it opened; stays while it is half open."""
    retry_at: datetime | None
    """When calls or probes pass that do not now; None while they pass, and when nobody knows."""
    probes: int
    """Permits leased now, while half open."""
    probes_succeeded: int
    by_hand: SetByHand | None
    policy: BreakerPolicy
    has_own_policy: bool
    """False: the configured default."""
    policy_version: int
    """Rises with every change of the policy; 0 until somebody set one."""
    closed_at: datetime | None
    """When it closed last, having been open."""
    window: Window | None
    """None: its policy has none, or nothing was counted."""
    last_error: CountedError | None
    """Stays when it closes; None when no failure told one."""


def breaker_now(entry: Entry) -> BreakerNow:
    """The breaker of an entry that time has been applied to, as the registry gives it."""
    breaker, override = entry.breaker, entry.breaker.override
    return BreakerNow(
        scope=entry.key[0],
        name=entry.key[1],
        state=breaker.seen,
        epoch=breaker.epoch,
        failures=breaker.failures,
        trips=breaker.trips,
        opened_at=_moment(breaker.opened_at),
        retry_at=_moment(breaker.lets_through_at),
        probes=len(breaker.permits),
        probes_succeeded=breaker.successes,
        by_hand=None
        if override is None
        else SetByHand(override.state, override.actor, override.reason, _moment(override.expires_at)),
        policy=entry.policy,
        has_own_policy=entry.has_own_policy,
        policy_version=entry.policy_version,
        closed_at=_moment(breaker.closed_at),
        window=_window(breaker.buckets),
        last_error=_counted(entry.last_error),
    )


def turn_of(row: TransitionRow) -> Turn:
    """The turn of a row of the history."""
    return Turn(
        id=row.id,
        scope=row.scope,
        name=row.name,
        at=row.at,
        epoch=row.epoch,
        before=row.before,
        after=row.after,
        reason=row.reason,
        actor=row.actor,
        error=_counted(error_of_row(row)),
    )


def _window(buckets: Sequence[Bucket]) -> Window | None:
    if not buckets:
        return None
    return Window(*(sum(getattr(one, name) for one in buckets) for name in ("calls", "failures", "slow")))


def _counted(error: LastError | None) -> CountedError | None:
    if error is None:
        return None
    at = datetime.fromtimestamp(error.at, UTC)
    return CountedError(error.type, error.message, error.task_id, at, error.count)


def _moment(unix_seconds: float | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)
