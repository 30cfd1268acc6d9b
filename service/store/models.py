"""The tables. An unfinished task is one row of ``task_live``; its terminal move deletes that row and inserts it into
``task``, which is never updated. The DELETE is the fence: only one writer can end a task.

The layout and its measurements: ``docs/decisions/0001-store-layout.md``.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from contract.states import PLACES, TERMINAL, UNFINISHED, TaskState


class Base(DeclarativeBase):
    """All tables; names of constraints are stable, so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text,
        UUID: Uuid,
        dict[str, Any]: JSONB,
        float: Double,
    }


def _one_of(column: str, values: frozenset[TaskState]) -> str:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({listed})"


def _place_matches_state() -> str:
    return " OR ".join(f"(place = '{place}' AND {_one_of('state', states)})" for place, states in PLACES.items())


class _TaskColumns:
    """What a task keeps from its submission to its end."""

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7: its order is the order of submission."""
    state: Mapped[str]
    task_type: Mapped[str]
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """The newest attempt that started; only rises."""
    max_attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    """The budget of attempts."""
    interruptions: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Attempts that ended with their worker and not by themselves. They do not count against the budget."""
    dispatch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often the task was sent to the broker."""
    sla_seconds: Mapped[float] = mapped_column(REAL)
    """The queue's target for queue wait when the task was submitted."""
    timeout_seconds: Mapped[float] = mapped_column(REAL)
    """The hard time limit of one attempt."""
    requested_timeout_seconds: Mapped[float | None] = mapped_column(REAL)
    """What the submission asked for."""
    delay_seconds: Mapped[float | None]
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]
    scheduled_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    """Start of the newest attempt, on the Redis clock."""
    caller: Mapped[str]
    worker: Mapped[str | None]
    args: Mapped[str]
    """JSON array, as text: nothing queries it."""
    kwargs: Mapped[str]
    """JSON object, as text."""
    tags: Mapped[dict[str, Any] | None]
    traceparent: Mapped[str | None]
    dependencies: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """What it depends on, beside its task type. NULL: nothing."""
    held_reason: Mapped[str | None]
    """Why it is held: ``breaker:<scope>:<name>``, or a word of its own."""
    held_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """How long it was held in all, the time since ``held_at`` not counted."""
    sla_met: Mapped[bool | None]
    """Whether the first attempt started in time. Of a live task only once that attempt has failed."""
    progress: Mapped[str | None]
    """JSON text of the newest attempt's ``contract.events.Progress``."""
    cancel_requested_at: Mapped[datetime | None]
    """Since then no attempt starts."""
    replayed_from: Mapped[UUID | None]
    """The ended task that this one runs again."""


class LiveTask(_TaskColumns, Base):
    """A task that has not ended."""

    __tablename__ = "task_live"

    place: Mapped[str]
    """Where it waits (``contract.states.Place``). Indexes are on this and not on ``state``, so that the frequent moves
    from queued to running stay HOT updates."""
    sent_epoch: Mapped[int | None] = mapped_column(Integer)
    """The epoch of its newest message."""
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it was marked sent, before its newest message was published. Means nothing of one that was never sent."""
    held_at: Mapped[datetime | None]
    """Since when it is held."""
    held_wait_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """The part of ``held_seconds`` since ``due_at``: it does not count into the queue wait."""
    interrupted_in_a_row: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Interruptions since an attempt last ended by itself."""
    cancel_grace_seconds: Mapped[float | None] = mapped_column(REAL)
    """Of a request to cancel: how long a running attempt may take to end. NULL: a running attempt is not asked to."""

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Constraints and indexes."""
        return (
            CheckConstraint(_one_of("state", UNFINISHED), name="state"),
            CheckConstraint(_place_matches_state(), name="place"),
            CheckConstraint("priority BETWEEN 0 AND 10", name="priority"),
            Index(
                "ix_task_live_waiting",
                "queue",
                text("priority DESC"),
                "due_at",
                "id",
                postgresql_where=text("place = 'waiting'"),
            ),
            Index("ix_task_live_sent", "queue", "priority", "sent_at", postgresql_where=text("place = 'sent'")),
            Index("ix_task_live_held", "id", postgresql_where=text("place = 'held'")),
            Index(
                "ix_task_live_held_by",
                "held_reason",
                text("priority DESC"),
                "due_at",
                "id",
                postgresql_where=text("place = 'held'"),
            ),
            Index("ix_task_live_held_type", "held_reason", "task_type", postgresql_where=text("place = 'held'")),
            Index("ix_task_live_asleep", "due_at", postgresql_where=text("place = 'asleep'")),
            Index("ix_task_live_cancelled", "id", postgresql_where=text("cancel_requested_at IS NOT NULL")),
            Index("ix_task_live_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
            {
                "postgresql_with": {
                    "fillfactor": "70",
                    "autovacuum_vacuum_scale_factor": "0.02",
                    "autovacuum_vacuum_threshold": "2000",
                    "autovacuum_vacuum_cost_delay": "0",
                }
            },
        )


class FinishedTask(_TaskColumns, Base):
    """A task that has ended. Inserted once, never updated; partitioned by the day in its id."""

    __tablename__ = "task"

    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())
    run_seconds: Mapped[float | None]
    queue_wait_seconds: Mapped[float | None]
    result: Mapped[str | None]
    """JSON, as text."""
    error_type: Mapped[str | None]
    error_message: Mapped[str | None]
    error_traceback: Mapped[str | None]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Constraints and indexes."""
        return (
            CheckConstraint(_one_of("state", TERMINAL), name="state"),
            Index("ix_task_task_type_id", "task_type", "id"),
            Index("ix_task_not_succeeded", "state", "id", postgresql_where=text("state <> 'succeeded'")),
            {"postgresql_partition_by": "RANGE (id)"},
        )


class TaskAttempt(Base):
    """An attempt that did not succeed. One whose worker went away has ``error_type`` ``Interrupted``."""

    __tablename__ = "task_attempt"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    worker: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    run_seconds: Mapped[float]
    error_type: Mapped[str]
    error_message: Mapped[str]
    error_traceback: Mapped[str]


class QuarantineQueue(Base):
    """A queue on which nothing is sent but one task, so that this one runs alone."""

    __tablename__ = "quarantine_queue"

    queue: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[UUID]
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class Replay(Base):
    """One request to run dead letters again."""

    __tablename__ = "replay"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    caller: Mapped[str]
    wanted: Mapped[dict[str, Any]]
    """Which dead letters."""
    rate_per_second: Mapped[float | None]
    matched: Mapped[int] = mapped_column(Integer)
    """Dead letters that it found."""
    tasks: Mapped[int] = mapped_column(Integer)
    """Those of them that it ran again."""
    last_due_at: Mapped[datetime | None]


class ReplayedTask(Base):
    """An ended task that was run again: once, because it is the key."""

    __tablename__ = "replayed_task"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    replayed_as: Mapped[UUID]
    replay_id: Mapped[UUID | None]
    """The ``replay`` it belongs to; NULL when it was retried alone."""
    replayed_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_replayed_task_replay_id", "replay_id"),)


class QueuePause(Base):
    """How a queue was last paused or resumed."""

    __tablename__ = "queue_pause"

    queue: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool]
    revision: Mapped[int] = mapped_column(BigInteger)
    """Rises with every change, so that Redis takes no old news."""
    reason: Mapped[str | None]
    actor: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    """A key a caller used; the task it stands for until it is forgotten."""

    __tablename__ = "idempotency_key"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[UUID]
    fingerprint: Mapped[str]
    """SHA-256 of the canonical body: another body under the same key is refused."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_idempotency_key_created_at", "created_at"),)


class OutboxRow(Base):
    """Tasks of one commit and queue that are marked sent and may not be published yet. Deleted after publishing."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    task_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TaskTypeVersion(Base):
    """A task type as some worker published it. The newest with a live worker counts (``service.store.catalogue``)."""

    __tablename__ = "task_type"

    name: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    first_published_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_published_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkerCatalogue(Base):
    """What one worker parent offers, as it published it."""

    __tablename__ = "worker_catalogue"

    owner: Mapped[str] = mapped_column(primary_key=True)
    content_hashes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Of its task types (``task_type.content_hash``)."""
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Worker(Base):
    """A worker parent, as its beats describe it."""

    __tablename__ = "worker"

    owner: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    pool: Mapped[str]
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    processes: Mapped[int] = mapped_column(Integer)
    pid: Mapped[int] = mapped_column(Integer)
    host: Mapped[str]
    contract: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkerOutcome(Base):
    """Attempts of one task type that ended in one worker parent within some seconds: what it is judged by. Rows are
    kept for minutes.
    """

    __tablename__ = "worker_outcome"

    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    """Its first moment."""
    worker: Mapped[str] = mapped_column(primary_key=True)
    """The owner: one start of one parent."""
    task_type: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(Integer)
    """Succeeded or failed; what is nobody's failure is not counted."""
    failures: Mapped[int] = mapped_column(Integer)


class NativeRun(Base):
    """One ended execution of a plain Celery task."""

    __tablename__ = "native_run"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    task_id: Mapped[str]
    task_type: Mapped[str]
    queue: Mapped[str]
    worker: Mapped[str]
    state: Mapped[str]
    run_seconds: Mapped[float]
    finished_at: Mapped[datetime]
    error_type: Mapped[str | None]
    error_message: Mapped[str | None]
    error_traceback: Mapped[str | None]

    __table_args__ = (Index("ix_native_run_task_id", "task_id"), Index("ix_native_run_finished_at", "finished_at"))


class BrokerEpoch(Base):
    """An epoch of Redis data. The highest is the current one; it is open once the census is over."""

    __tablename__ = "broker_epoch"

    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    run_id: Mapped[str]
    declared_at: Mapped[datetime] = mapped_column(server_default=func.now())
    opened_at: Mapped[datetime | None]


class RecorderPosition(Base):
    """How far the recorder has read a stream; moved by compare-and-set in the transaction of what it recorded."""

    __tablename__ = "recorder_position"

    stream: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[str]
    moved_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StoredBreaker(Base):
    """A circuit breaker (``service.breaker``). One that nothing ever happened to has no row."""

    __tablename__ = "breaker"

    scope: Mapped[str] = mapped_column(primary_key=True)
    """``task_type``, ``dependency`` or ``worker``."""
    name: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[str]
    """The state that callers see, as of the last change."""
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rises with every transition."""
    turns_at: Mapped[datetime | None]
    """When time alone changes it next: its wait is over, or its override ends."""
    machine: Mapped[dict[str, Any]]
    """All of ``service.breaker.breaker.Breaker``; its times are Unix seconds on the database clock."""
    policy: Mapped[dict[str, Any] | None]
    """Null: the configured default."""
    policy_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rises with every change of the policy."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("scope IN ('dependency', 'task_type', 'worker')", name="scope"),
        CheckConstraint("seen IN ('closed', 'disabled', 'forced_open', 'half_open', 'open')", name="seen"),
        Index("ix_breaker_turns_at", "turns_at", postgresql_where=text("turns_at IS NOT NULL")),
        Index("ix_breaker_not_closed", "scope", "name", postgresql_where=text("seen <> 'closed'")),
    )


class BreakerTransition(Base):
    """A change of the state that callers of a breaker see. Ids rise in the order of commits."""

    __tablename__ = "breaker_transition"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    scope: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]
    epoch: Mapped[int] = mapped_column(Integer)
    before: Mapped[str]
    after: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    """``breaker`` itself, or who did it by hand."""

    __table_args__ = (Index("ix_breaker_transition_scope_name_id", "scope", "name", "id"),)


class Alert(Base):
    """Something that was or is wrong: one open alert for each cause."""

    __tablename__ = "alert"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    key: Mapped[str]
    """The cause: rule and subject."""
    rule: Mapped[str]
    subject: Mapped[str]
    severity: Mapped[str]
    summary: Mapped[str]
    value: Mapped[float | None]
    bound: Mapped[float | None]
    """The limit that the value passed."""
    unit: Mapped[str]
    link: Mapped[str]
    since: Mapped[datetime]
    """When it began, as far as is known."""
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When value and summary were last written."""
    resolved_at: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    """When the channels were last given a message about it. NULL: never, as while it was silenced."""
    acked_at: Mapped[datetime | None]
    acked_by: Mapped[str | None]
    ack_reason: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("severity IN ('page', 'ticket')", name="severity"),
        Index("uq_alert_open_key", "key", unique=True, postgresql_where=text("resolved_at IS NULL")),
        Index("ix_alert_resolved_at", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
    )


class AlertSilence(Base):
    """Until its end nobody is told of the alerts that it matches."""

    __tablename__ = "alert_silence"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    matcher: Mapped[str]
    """The key of an alert, or a rule: all of its alerts."""
    until: Mapped[datetime]
    actor: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_alert_silence_until", "until"),)


class AlertDelivery(Base):
    """One message to one channel. Its id is the receiver's too, so that one which comes twice is known."""

    __tablename__ = "alert_delivery"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    alert_id: Mapped[UUID | None]
    """NULL: a test."""
    event: Mapped[str]
    channel: Mapped[str]
    message: Mapped[dict[str, Any]]
    """What is said; the same at every attempt."""
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Of a pending one: when it is tried next, or given back by a notifier that died."""
    last_status: Mapped[str | None]
    """What the last attempt came to, in a word or two."""
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("event IN ('opened', 'repeated', 'resolved', 'test')", name="event"),
        CheckConstraint("status IN ('dropped', 'gave_up', 'pending', 'sent')", name="status"),
        Index("ix_alert_delivery_pending", "next_at", postgresql_where=text("status = 'pending'")),
        Index("ix_alert_delivery_alert_id", "alert_id"),
    )


class Leader(Base):
    """Who runs a loop that must run once. Times are the database clock's; ``fence`` rises with every new holder."""

    __tablename__ = "leader"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    fence: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]


def _zero() -> Mapped[int]:
    return mapped_column(BigInteger, server_default=text("0"))


def _zero_seconds() -> Mapped[float]:
    return mapped_column(server_default=text("0"))


def _empty(item: Any) -> Any:
    return mapped_column(ARRAY(item), server_default=text("'{}'"))


class _Counters:
    """What is counted, each by the minute of the timestamp named."""

    task_type: Mapped[str]
    queue: Mapped[str]
    minute: Mapped[datetime]

    submitted: Mapped[int] = _zero()
    """By ``submitted_at``."""
    started: Mapped[int] = _zero()
    """Attempts, by their ``started_at``."""
    executions: Mapped[int] = _zero()
    """Attempts ended, by ``finished_at``. Native runs count here too."""
    succeeded: Mapped[int] = _zero()
    """Tasks, by ``finished_at``."""
    failed: Mapped[int] = _zero()
    """Tasks, by ``finished_at``."""
    cancelled: Mapped[int] = _zero()
    """Tasks, by ``finished_at``."""
    expired: Mapped[int] = _zero()
    """Tasks, by ``finished_at``."""
    retried: Mapped[int] = _zero()
    """Failed attempts that another follows, by their end."""
    timed_out: Mapped[int] = _zero()
    """Attempts ended by a time limit, by their end."""
    interrupted: Mapped[int] = _zero()
    """Attempts that ended with their worker, by their rescue. Not among ``executions``."""
    duplicates: Mapped[int] = _zero()
    """Messages that found their task already running or done, by the gate's answer."""
    native: Mapped[int] = _zero()
    """Executions of plain Celery tasks, by their end."""
    sla_met: Mapped[int] = _zero()
    """First starts in time, by ``started_at``."""
    sla_missed: Mapped[int] = _zero()
    """First starts past the target, by ``started_at``."""
    run_seconds_sum: Mapped[float] = _zero_seconds()
    queue_wait_seconds_sum: Mapped[float] = _zero_seconds()
    run_buckets: Mapped[list[int]] = _empty(SmallInteger)
    """Sparse histogram of run time (``service.store.histogram``): bucket numbers, with ``run_counts`` beside it."""
    run_counts: Mapped[list[int]] = _empty(Integer)
    wait_buckets: Mapped[list[int]] = _empty(SmallInteger)
    """Sparse histogram of queue wait."""
    wait_counts: Mapped[list[int]] = _empty(Integer)


class TaskMetrics(_Counters, Base):
    """The rollup: one row per minute, task type and queue, so that any percentile over any window is a sum of small
    arrays.
    """

    __tablename__ = "task_metrics"

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    task_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsDelta(_Counters, Base):
    """What one commit adds to the rollup. Inserted, never updated, so that no two writers wait for one hot row."""

    __tablename__ = "task_metrics_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
