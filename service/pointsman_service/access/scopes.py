"""What a key may: scopes, and presets of them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class KeyScope(StrEnum):
    """One right. Each operation of the API takes exactly one, or none."""

    TASKS_SUBMIT = "tasks:submit"
    """Submit tasks, and ask whether they would be accepted."""
    TASKS_READ = "tasks:read"
    """See tasks, where each stands and why, dead letters, and acts on many."""
    TASKS_ACT = "tasks:act"
    """Cancel, change and run again."""
    TASKS_SHARE = "tasks:share"
    """Make links that open one task for whoever has them, and no more of it than one may see."""
    PAYLOAD_READ = "payload:read"
    """See arguments, results, tags, progress, messages of errors and lines of logs. Without it they are masked."""
    ERRORS_READ = "errors:read"
    """See groups of failures."""
    ERRORS_ACT = "errors:act"
    """Resolve, ignore and reopen them."""
    QUEUES_READ = "queues:read"
    """See queues, task types and messages that were set aside."""
    QUEUES_ACT = "queues:act"
    """Pause, resume and purge queues, and discard what was set aside."""
    WORKERS_READ = "workers:read"
    """See workers."""
    WORKERS_ACT = "workers:act"
    """Take workers off their queues and let them back."""
    BREAKERS_READ = "breakers:read"
    """See circuit breakers."""
    BREAKERS_REPORT = "breakers:report"
    """Report calls to a circuit breaker, and ask it for permits: what services do that guard their calls with one."""
    BREAKERS_ACT = "breakers:act"
    """Set circuit breakers and their policies."""
    ALERTS_READ = "alerts:read"
    """See alerts, their messages and channels."""
    ALERTS_ACT = "alerts:act"
    """Acknowledge and silence alerts, and try channels."""
    METRICS_READ = "metrics:read"
    """See figures, ``/metrics`` among them, and the first page."""
    KEYS_READ = "keys:read"
    """See which keys there are, never a key itself."""
    KEYS_ACT = "keys:act"
    """Make, rotate and revoke keys, with no more rights than one's own."""
    AUDIT_READ = "audit:read"
    """See who did what."""


class Preset(StrEnum):
    """A name for several scopes. What a later release adds to one, its keys have, too."""

    SUBMITTER = "submitter"
    """A service: submits, waits for what it submitted, and guards its calls with circuit breakers."""
    VIEWER = "viewer"
    """Looks at everything but payloads and keys."""
    OPERATOR = "operator"
    """A viewer who acts, too; without payloads and keys."""
    ADMIN = "admin"
    """Everything."""


_READS = frozenset(
    {
        KeyScope.TASKS_READ,
        KeyScope.ERRORS_READ,
        KeyScope.QUEUES_READ,
        KeyScope.WORKERS_READ,
        KeyScope.BREAKERS_READ,
        KeyScope.ALERTS_READ,
        KeyScope.METRICS_READ,
    }
)
ALL: Final = frozenset(KeyScope)
PRESETS: Final[Mapping[Preset, frozenset[KeyScope]]] = {
    Preset.SUBMITTER: frozenset(
        {
            KeyScope.TASKS_SUBMIT,
            KeyScope.TASKS_READ,
            KeyScope.TASKS_SHARE,
            KeyScope.PAYLOAD_READ,
            KeyScope.BREAKERS_READ,
            KeyScope.BREAKERS_REPORT,
        }
    ),
    Preset.VIEWER: _READS,
    Preset.OPERATOR: _READS
    | {
        KeyScope.TASKS_SUBMIT,
        KeyScope.TASKS_ACT,
        KeyScope.TASKS_SHARE,
        KeyScope.ERRORS_ACT,
        KeyScope.QUEUES_ACT,
        KeyScope.WORKERS_ACT,
        KeyScope.BREAKERS_REPORT,
        KeyScope.BREAKERS_ACT,
        KeyScope.ALERTS_ACT,
        KeyScope.AUDIT_READ,
    },
    Preset.ADMIN: ALL,
}


def scopes_of(preset: str | None, scopes: Iterable[str]) -> frozenset[KeyScope]:
    """What a preset and some scopes come to. A name that this release does not know gives nothing."""
    known = frozenset(KeyScope(one) for one in scopes if one in ALL)
    return known | next((PRESETS[one] for one in Preset if one == preset), frozenset())
