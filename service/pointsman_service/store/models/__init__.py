"""The tables. An unfinished task is one row of ``task_live``; its terminal move deletes that row and inserts it into
``task``, which is never updated. The DELETE is the fence: only one writer can end a task.

The layout and its measurements: ``docs/decisions/0001-store-layout.md``.
"""

from pointsman_service.store.models.alerts import Alert, AlertDelivery, AlertSilence
from pointsman_service.store.models.api_keys import ApiKey, RefusedCall
from pointsman_service.store.models.audit import AuditEntry
from pointsman_service.store.models.backlog import Backlog, BacklogDelta
from pointsman_service.store.models.base import Base
from pointsman_service.store.models.breakers import BreakerTransition, StoredBreaker
from pointsman_service.store.models.dead_letters import (
    DeadLetter,
    DeadLetterCount,
    DeadLetterDay,
    DeadLetterDelta,
    DeadLetterWalk,
)
from pointsman_service.store.models.errors import ErrorCount, ErrorDelta, ErrorGroup, ErrorGroupChange
from pointsman_service.store.models.history import QueueMetrics, WorkerMetrics
from pointsman_service.store.models.live import LiveChange, LiveListening
from pointsman_service.store.models.loops import BrokerEpoch, Leader, LeftOutEvent, RecorderPosition
from pointsman_service.store.models.metrics import (
    ExposedMetrics,
    TaskMetrics,
    TaskMetricsByDay,
    TaskMetricsByHour,
    TaskMetricsByMinute,
    TaskMetricsDay,
    TaskMetricsDelta,
    TaskMetricsHour,
    TaskMetricsKept,
    Totals,
)
from pointsman_service.store.models.predictions import PredictionMetrics, SampledPrediction
from pointsman_service.store.models.queues import QuarantineQueue, QueuePause
from pointsman_service.store.models.replays import CancelledTask, Replay, ReplayedTask
from pointsman_service.store.models.run_logs import RunLog
from pointsman_service.store.models.tasks import FinishedTask, IdempotencyKey, LiveTask, OutboxRow, TaskAttempt
from pointsman_service.store.models.workers import NativeRun, TaskTypeVersion, Worker, WorkerCatalogue, WorkerOutcome

__all__ = [
    "Alert",
    "AlertDelivery",
    "AlertSilence",
    "ApiKey",
    "AuditEntry",
    "Backlog",
    "BacklogDelta",
    "Base",
    "BreakerTransition",
    "BrokerEpoch",
    "CancelledTask",
    "DeadLetter",
    "DeadLetterCount",
    "DeadLetterDay",
    "DeadLetterDelta",
    "DeadLetterWalk",
    "ErrorCount",
    "ErrorDelta",
    "ErrorGroup",
    "ErrorGroupChange",
    "ExposedMetrics",
    "FinishedTask",
    "IdempotencyKey",
    "Leader",
    "LeftOutEvent",
    "LiveChange",
    "LiveListening",
    "LiveTask",
    "NativeRun",
    "OutboxRow",
    "PredictionMetrics",
    "QuarantineQueue",
    "QueueMetrics",
    "QueuePause",
    "RecorderPosition",
    "RefusedCall",
    "Replay",
    "ReplayedTask",
    "RunLog",
    "SampledPrediction",
    "StoredBreaker",
    "TaskAttempt",
    "TaskMetrics",
    "TaskMetricsByDay",
    "TaskMetricsByHour",
    "TaskMetricsByMinute",
    "TaskMetricsDay",
    "TaskMetricsDelta",
    "TaskMetricsHour",
    "TaskMetricsKept",
    "TaskTypeVersion",
    "Totals",
    "Worker",
    "WorkerCatalogue",
    "WorkerMetrics",
    "WorkerOutcome",
]
