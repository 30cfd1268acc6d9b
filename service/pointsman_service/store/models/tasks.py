"""Tasks, from submission to end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, MappedColumn, declared_attr, mapped_column

from pointsman_contract.states import PLACES, TERMINAL, UNFINISHED, TaskState
from pointsman_service.store.models.base import Base


def _one_of(column: str, values: frozenset[TaskState]) -> str:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({listed})"


def _place_matches_state() -> str:
    return " OR ".join(f"(place = '{place}' AND {_one_of('state', states)})" for place, states in PLACES.items())


SUBMITTED_AS = "submitted_as"
"""Under this name a column's ``info`` has its ``SubmittedAs``."""


@dataclass(frozen=True, slots=True)
class SubmittedAs:
    """How a new task gets the value of a column that its submission fills."""

    copied: bool
    """Whether a task that runs an ended one again takes it over; otherwise it is NULL there, or its own."""
    kind: str | None
    """PostgreSQL type of the parameter, where that is not the column's."""
    made_by: str | None
    """SQL that makes the value from the parameter of the same name, where that is not the value."""


def _submitted(
    *words: Any, copied: bool = True, kind: str | None = None, made_by: str | None = None, **more: Any
) -> MappedColumn[Any]:
    return mapped_column(*words, info={SUBMITTED_AS: SubmittedAs(copied, kind, made_by)}, **more)


class _TaskColumns:
    """What a task keeps from its submission to its end."""

    id: Mapped[UUID] = _submitted(primary_key=True, copied=False)
    """UUIDv7: its order is the order of submission."""
    state: Mapped[str]
    task_type: Mapped[str] = _submitted()
    queue: Mapped[str] = _submitted()
    priority: Mapped[int] = _submitted(SmallInteger)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """The newest attempt that started; only rises."""
    max_attempts: Mapped[int] = _submitted(SmallInteger, server_default=text("1"))
    """The budget of attempts."""
    interruptions: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Attempts that ended with their worker and not by themselves. They do not count against the budget."""
    uncertain_sendings: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How often it was sent again while nobody knew whether it had run: Redis was another, or had lost its data."""
    dispatch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often the task was sent to the broker."""
    sla_seconds: Mapped[float] = _submitted(REAL)
    """The queue's target for queue wait when the task was submitted."""
    timeout_seconds: Mapped[float] = _submitted(REAL)
    """The hard time limit of one attempt."""
    requested_timeout_seconds: Mapped[float | None] = _submitted(REAL)
    """What the submission asked for."""
    delay_seconds: Mapped[float | None] = _submitted(copied=False)
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]
    scheduled_at: Mapped[datetime | None] = _submitted(copied=False)
    expires_at: Mapped[datetime | None] = _submitted(copied=False)
    started_at: Mapped[datetime | None]
    """Start of the newest attempt, on the Redis clock."""
    caller: Mapped[str] = _submitted(copied=False)
    fairness_key: Mapped[str] = _submitted(server_default=text("''"))
    """What tells its share from others of the same caller; empty: the one of all that name none."""
    worker: Mapped[str | None]
    args: Mapped[str] = _submitted()
    """JSON array, as text: nothing queries it."""
    kwargs: Mapped[str] = _submitted()
    """JSON object, as text."""
    tags: Mapped[dict[str, Any] | None] = _submitted(kind="text", made_by="CAST(tags AS jsonb)")
    traceparent: Mapped[str | None] = _submitted(copied=False)
    dependencies: Mapped[list[str] | None] = _submitted(
        ARRAY(Text), kind="text", made_by="string_to_array(dependencies, E'\\n')"
    )
    """What it depends on, beside its task type. NULL: nothing."""
    held_reason: Mapped[str | None]
    """Why it is held: ``breaker:<scope>:<name>``, or a word of its own."""
    held_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """How long it was held in all, the time since ``held_at`` not counted."""
    sla_met: Mapped[bool | None]
    """Whether the first attempt started in time. Of a live task only once that attempt has failed."""
    progress: Mapped[str | None]
    """JSON text of the newest attempt's ``pointsman_contract.events.Progress``."""
    cancel_requested_at: Mapped[datetime | None]
    """Since then no attempt starts."""
    cancel_requested_by: Mapped[str | None]
    """Who asked for that, where it is known."""
    replayed_from: Mapped[UUID | None]
    """The ended task that this one runs again."""


class LiveTask(_TaskColumns, Base):
    """A task that has not ended."""

    __tablename__ = "task_live"

    place: Mapped[str]
    """Where it waits (``pointsman_contract.states.Place``). Indexes are on this and not on ``state``, so that the
    frequent moves from queued to running stay HOT updates."""
    alone: Mapped[bool] = _submitted(copied=False, server_default=text("false"))
    """Whether it waits since its submission, and no other share waited then, as far as was known: it is not among those
    that take turns, and needs no place in their index until another share waits (``store.queues.shares.place``)."""
    sent_epoch: Mapped[int | None] = _submitted(Integer, copied=False)
    """The epoch of its newest message."""
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it was marked sent, before its newest message was published. Means nothing of one that was never sent."""
    held_at: Mapped[datetime | None]
    """Since when it is held."""
    held_wait_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """The part of ``held_seconds`` since ``due_at``: it does not count into the queue wait."""
    interrupted_in_a_row: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Interruptions since an attempt last ended by itself."""
    unclaimed: Mapped[float] = mapped_column(REAL, server_default=text("0"))
    """Sendings since the last attempt that nobody claimed. One that the death of a worker explains counts a tenth."""
    unclaimed_reason: Mapped[str | None]
    """What a worker said of them last."""
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
            Index(
                "ix_task_live_shares",
                "queue",
                "priority",
                "caller",
                "fairness_key",
                "due_at",
                "id",
                postgresql_where=text("place = 'waiting' AND NOT alone"),
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
            Index(
                "ix_task_live_held_type", "held_reason", "task_type", "queue", postgresql_where=text("place = 'held'")
            ),
            Index("ix_task_live_asleep", "due_at", postgresql_where=text("place = 'asleep'")),
            Index("ix_task_live_asleep_id", "id", postgresql_where=text("place = 'asleep'")),
            Index(
                "ix_task_live_tags",
                "tags",
                postgresql_using="gin",
                postgresql_ops={"tags": "jsonb_path_ops"},
                postgresql_with={"gin_pending_list_limit": "1024"},
                postgresql_where=text("tags IS NOT NULL"),
            ),
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


FACETS = (
    "array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),"
    " hashtext('w' || split_part(worker, '#', 1)), hashtext('e' || error_type),"
    " hashtext('g' || CAST(error_group AS text)),"
    " NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)], NULL)"
)
"""SQL: what an ended task may be looked for by, as numbers: one index has them all, and finds what meets several. 2 is
one that was tried again, and a worker has one number in all its lives."""


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
    error_group: Mapped[UUID | None]
    """The ``error_group`` of that error."""

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Constraints and indexes."""
        return (
            CheckConstraint(_one_of("state", TERMINAL), name="state"),
            Index("ix_task_task_type_id", "task_type", "id"),
            Index("ix_task_not_succeeded", "state", "id", postgresql_where=text("state <> 'succeeded'")),
            Index("ix_task_finished_at", "finished_at", "id"),
            Index(
                "ix_task_not_succeeded_finished_at",
                "state",
                "finished_at",
                "id",
                postgresql_where=text("state <> 'succeeded'"),
            ),
            Index(
                "ix_task_facets",
                text(f"({FACETS})"),
                "tags",
                postgresql_using="gin",
                postgresql_ops={"tags": "jsonb_path_ops"},
                # Whoever fills the list of what is new sorts it in, and who looks reads it whole: 1 MB is 20 ms.
                postgresql_with={"gin_pending_list_limit": "1024"},
            ),
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
    error_group: Mapped[UUID | None]
    """The ``error_group`` that it counts for. NULL: it counts for none."""


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
