"""What was predicted of a sample of the tasks, and what came of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Integer, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import Index

from pointsman_service.store.models.base import Base


class SampledPrediction(Base):
    """How long one task was expected to wait when it was submitted. All seconds count from then."""

    __tablename__ = "prediction"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    submitted_at: Mapped[datetime]
    p50_seconds: Mapped[float] = mapped_column(REAL)
    p95_seconds: Mapped[float] = mapped_column(REAL)
    basis: Mapped[str]
    """The estimator that both are of: ``observe.prediction.prediction.Basis``."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    """Class of tasks in the same place: ``observe.prediction.flow.Estimate``."""
    expected_seconds: Mapped[float] = mapped_column(REAL)
    """By flow, before its record corrected it."""
    flow_p50_seconds: Mapped[float] = mapped_column(REAL)
    flow_p95_seconds: Mapped[float] = mapped_column(REAL)
    history_p50_seconds: Mapped[float | None] = mapped_column(REAL)
    """None, like the next: history had seen too little."""
    history_p95_seconds: Mapped[float | None] = mapped_column(REAL)
    late_at: Mapped[datetime | None]
    """When it was known that its p95 had passed and it had not started."""
    settled_at: Mapped[datetime | None]
    """When its start was known, or that there is nothing to compare."""
    waited_seconds: Mapped[float | None] = mapped_column(REAL)
    """None of a settled one: it was held, paused or ended unstarted, and counts for nothing unless it was late."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("ix_prediction_submitted_at", "submitted_at"),
        Index("ix_prediction_open", "submitted_at", postgresql_where=text("settled_at IS NULL")),
    )


class PredictionMetrics(Base):
    """How predictions of one queue came out, by minute and by hour of when that was known."""

    __tablename__ = "prediction_metrics"

    queue: Mapped[str] = mapped_column(primary_key=True)
    span_seconds: Mapped[int] = mapped_column(Integer, primary_key=True)
    """60 or 3,600."""
    at: Mapped[datetime] = mapped_column(primary_key=True)
    """When the span begins."""
    compared: Mapped[int] = mapped_column(Integer)
    """Predictions of which it is known whether the task started within the p95."""
    within_p50: Mapped[int] = mapped_column(Integer)
    within_p95: Mapped[int] = mapped_column(Integer)
    error_buckets: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    """Sparse histogram (``store.metrics.histogram``) of how far the p50 was from the wait, with ``error_counts``."""
    error_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
