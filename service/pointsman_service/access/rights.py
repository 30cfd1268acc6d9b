"""What each operation of the API takes: a scope, and how it tells which tasks it is about.

A key may be narrowed to task types, to queues, or to both. Then it does only what names one of its own in each of these
ways: in the path, in the query, in the body, or by what is stored under the id in the path. What is about everything it
does not do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pointsman_service.access.scopes import KeyScope


class Names(StrEnum):
    """Where a call says which tasks it is about."""

    NOTHING = "nothing"
    """Nowhere: it is about everything."""
    EVERYBODY = "everybody"
    """It is about no tasks: a narrowed key does it, too."""
    SUBMISSION = "submission"
    """In each submission of the body."""
    QUERY = "query"
    """By ``task_type`` and ``queue`` of the query."""
    BODY = "body"
    """By ``task_type`` and ``queue`` of the body."""
    QUEUE = "queue"
    """By the queue in the path."""
    TASK_TYPE = "task_type"
    """By the task type in the path."""
    BREAKER = "breaker"
    """By the circuit breaker in the path, where that is one of a task type; others are about everything."""
    CALL = "call"
    """Likewise; circuit breakers of dependencies are there for everybody."""
    TASK = "task"
    """By the task whose id is in the path, and where the body names another queue, by that, too."""
    TASK_ACT = "task_act"
    """By the filter of the act whose id is in the path."""
    REPLAY = "replay"
    """By the filter of the replay whose id is in the path."""


@dataclass(frozen=True, slots=True)
class Right:
    """What an operation takes."""

    scope: KeyScope | None
    """None: nobody is asked who they are."""
    names: Names


_BY_SCOPE: Mapping[KeyScope | None, Mapping[Names, tuple[str, ...]]] = {
    None: {Names.EVERYBODY: ("get_liveness", "get_health", "get_readiness")},
    KeyScope.TASKS_SUBMIT: {Names.SUBMISSION: ("submit_task", "validate_task", "submit_batch")},
    KeyScope.TASKS_READ: {
        Names.QUERY: ("list_tasks", "stream_tasks", "list_dead_letters"),
        Names.TASK: ("get_task", "stream_task", "list_attempts", "explain_task"),
        Names.TASK_ACT: ("get_task_act",),
        Names.REPLAY: ("get_replay",),
        Names.NOTHING: ("list_task_acts", "list_replays"),
    },
    KeyScope.TASKS_SHARE: {Names.TASK: ("share_task",)},
    KeyScope.PAYLOAD_READ: {Names.TASK: ("list_log_lines", "stream_log_lines")},
    KeyScope.TASKS_ACT: {
        Names.TASK: ("cancel_task", "change_task", "retry_task"),
        Names.BODY: ("cancel_tasks", "retry_tasks", "replay_dead_letters"),
        Names.TASK_ACT: ("stop_task_act", "undo_task_act"),
        Names.REPLAY: ("undo_replay",),
    },
    KeyScope.ERRORS_READ: {Names.QUERY: ("list_errors",), Names.NOTHING: ("get_error",)},
    KeyScope.ERRORS_ACT: {Names.NOTHING: ("resolve_error", "ignore_error", "reopen_error")},
    KeyScope.QUEUES_READ: {
        Names.QUEUE: ("get_queue", "explain_queue"),
        Names.TASK_TYPE: ("get_task_type",),
        Names.NOTHING: ("list_queues", "list_task_types", "list_set_aside_messages"),
    },
    KeyScope.QUEUES_ACT: {
        Names.QUEUE: ("pause_queue", "resume_queue", "purge_queue"),
        Names.NOTHING: ("discard_set_aside_messages",),
    },
    KeyScope.WORKERS_READ: {Names.NOTHING: ("list_workers",)},
    KeyScope.WORKERS_ACT: {Names.NOTHING: ("eject_worker", "admit_worker")},
    KeyScope.BREAKERS_READ: {
        Names.CALL: ("get_breaker", "list_breaker_transitions"),
        Names.NOTHING: ("list_breakers", "stream_breaker_transitions"),
    },
    KeyScope.BREAKERS_REPORT: {Names.CALL: ("report_outcomes", "ask_for_permit")},
    KeyScope.BREAKERS_ACT: {
        Names.BREAKER: (
            "set_breaker_policy",
            "unset_breaker_policy",
            "force_breaker_open",
            "disable_breaker",
            "force_breaker_closed",
            "probe_breaker",
            "reset_breaker",
        ),
    },
    KeyScope.ALERTS_READ: {
        Names.NOTHING: (
            "list_alerts",
            "get_alert",
            "list_alert_silences",
            "list_deliveries_of_alert",
            "list_alert_deliveries",
            "list_alert_channels",
        ),
    },
    KeyScope.ALERTS_ACT: {
        Names.NOTHING: (
            "acknowledge_alert",
            "unacknowledge_alert",
            "silence_alert",
            "unsilence_alert",
            "test_alert_channel",
        ),
    },
    KeyScope.METRICS_READ: {
        Names.QUERY: ("get_queue_metrics",),
        Names.NOTHING: (
            "get_now",
            "get_task_metrics",
            "get_worker_metrics",
            "get_sla_metrics",
            "get_prediction_metrics",
            "get_metrics_timeseries",
            "get_prometheus_metrics",
        ),
    },
    KeyScope.AUDIT_READ: {Names.NOTHING: ("list_audit_entries",)},
    KeyScope.KEYS_READ: {Names.NOTHING: ("list_keys", "get_key")},
    KeyScope.KEYS_ACT: {Names.NOTHING: ("create_key", "limit_key", "rotate_key", "revoke_key")},
}
RIGHTS: Final[Mapping[str, Right]] = MappingProxyType(
    {
        operation: Right(scope, names)
        for scope, by_names in _BY_SCOPE.items()
        for names, operations in by_names.items()
        for operation in operations
    }
)
"""What each operation takes, by its ``operationId``: the whole API."""


def operations_of(scopes: frozenset[KeyScope]) -> frozenset[str]:
    """What somebody with these scopes may do."""
    return frozenset(name for name, right in RIGHTS.items() if right.scope is None or right.scope in scopes)
