"""QueueMetrics and WorkerMetrics: what was seen of queues and workers, by minute, hour and day."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class _Seen:
    """What the samples of one figure came to. Who looked at nothing leaves no row: a gap is no zero."""

    step_seconds: Mapped[int] = mapped_column(Integer, primary_key=True)
    """60, 3600 or 86400: how long the row is about."""
    at: Mapped[datetime] = mapped_column(primary_key=True)
    """When it begins."""
    figure: Mapped[str] = mapped_column(primary_key=True)

    samples: Mapped[int] = mapped_column(BigInteger)
    """How often it was known. One that could not be known when others were has fewer."""
    total: Mapped[float]
    """The sum of the samples."""
    low: Mapped[float]
    high: Mapped[float]
    last: Mapped[float]
    sampled_at: Mapped[datetime]
    """When the last sample was taken."""


class QueueMetrics(_Seen, Base):
    """One figure of one queue (``pointsman_service.store.metrics.history.QUEUE_FIGURES``)."""

    __tablename__ = "queue_metrics"

    queue: Mapped[str] = mapped_column(primary_key=True)


class WorkerMetrics(_Seen, Base):
    """One figure of one pool of workers (``pointsman_service.store.metrics.history.WORKER_FIGURES``)."""

    __tablename__ = "worker_metrics"

    pool: Mapped[str] = mapped_column(primary_key=True)
