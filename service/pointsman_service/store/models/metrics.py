"""TaskMetrics: what happened, by minute."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Identity, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


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
    """Tasks, by ``finished_at``. Native runs count here too."""
    failed: Mapped[int] = _zero()
    """Tasks, by ``finished_at``. Native runs count here too."""
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
    uncertain_sendings: Mapped[int] = _zero()
    """Sendings in a new epoch of tasks of which nobody knows whether they had run, by when they were let go again."""
    duplicates: Mapped[int] = _zero()
    """Messages that found their task already running or done, by the gate's answer."""
    native: Mapped[int] = _zero()
    """Executions of plain Celery tasks, by their end."""
    native_succeeded: Mapped[int] = _zero()
    """Executions of plain Celery tasks that are among ``succeeded``."""
    native_failed: Mapped[int] = _zero()
    """Executions of plain Celery tasks that are among ``failed``."""
    native_retried: Mapped[int] = _zero()
    """Executions of plain Celery tasks that are among ``retried``."""
    sla_met: Mapped[int] = _zero()
    """First starts in time, by ``started_at``."""
    sla_missed: Mapped[int] = _zero()
    """First starts past the target, by ``started_at``."""
    run_seconds_sum: Mapped[float] = _zero_seconds()
    queue_wait_seconds_sum: Mapped[float] = _zero_seconds()
    run_buckets: Mapped[list[int]] = _empty(SmallInteger)
    """Sparse histogram of run time (``store.metrics.histogram``): bucket numbers, with ``run_counts`` beside it."""
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
    born_waiting: Mapped[int] = _zero()
    """Those of ``submitted`` that were not sent at once. The backlog has them from here (``store.queues.backlog``)."""
    born_asleep: Mapped[int] = _zero()
    """Those of ``submitted`` that were not due."""


class Totals(Base):
    """Sums over everything kept. One row, which whoever tells them reads, so that no two processes contradict."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(primary_key=True)
    sums: Mapped[str]
    """JSON text (``pointsman_service.store.metrics.totals``)."""
    taken_at: Mapped[datetime]
    took_seconds: Mapped[float]


class ExposedMetrics(Base):
    """What ``/metrics`` tells. One row, which one process renews and every other reads. Not logged."""

    __tablename__ = "exposed_metrics"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    """Of the snapshot: the next replaces the one it knows of (``pointsman_service.store.metrics.exposed``)."""
    rising: Mapped[str]
    """Prometheus text of counters and histograms."""
    standing: Mapped[str]
    """Prometheus text of gauges."""
    taken_at: Mapped[datetime]
    counted_at: Mapped[datetime | None]
    """When the counters were summed up; None when they are not known."""
