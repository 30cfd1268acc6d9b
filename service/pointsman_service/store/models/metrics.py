"""TaskMetrics: what happened, by minute, hour and day."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Identity, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


def _zero() -> Mapped[int]:
    return mapped_column(BigInteger, server_default=text("0"))


def _zero_seconds() -> Mapped[float]:
    return mapped_column(server_default=text("0"))


def _empty(item: Any) -> Any:
    return mapped_column(ARRAY(item), server_default=text("'{}'"))


class _Counts:
    """What is counted, each by the minute of the timestamp named."""

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
    held: Mapped[int] = _zero()
    """Tasks that ended and had been held, by ``finished_at``."""
    held_seconds_sum: Mapped[float] = _zero_seconds()
    """How long those were held in all."""
    rescued: Mapped[int] = _zero()
    """Tasks that wait again because their worker went away or was stopped, by their rescue. Among ``interrupted``."""
    cancelled_running: Mapped[int] = _zero()
    """Tasks that ended as cancelled while they ran, by ``finished_at``. Among ``cancelled``."""
    predicted: Mapped[int] = _zero()
    """Predictions of which it is known whether the task started within the p95, by when that was known: those that a
    sample of the tasks was told (``SampledPrediction``).
    """
    kept: Mapped[int] = _zero()
    """Those of them that held: the task started within the p95."""
    kept_p50: Mapped[int] = _zero()
    """Those of them whose task started within the p50."""


class TaskMetrics(_Counts, Base):
    """The rollup: one row per minute, task type and queue, so that any percentile over any window is a sum of small
    arrays. Whatever moves a row moves those of its hour and its day too.
    """

    __tablename__ = "task_metrics"

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    task_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsHour(_Counts, Base):
    """The sum of the minutes of an hour."""

    __tablename__ = "task_metrics_hour"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    task_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsDay(_Counts, Base):
    """The sum of the minutes of a day, in UTC. That of the first day of 1970 is the sum of all days that are kept no
    more.
    """

    __tablename__ = "task_metrics_day"

    day: Mapped[datetime] = mapped_column(primary_key=True)
    task_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsByMinute(_Counts, Base):
    """Of one caller, one type of error or one pool of workers, whatever the task type and the queue: apart, so that
    names do not multiply the rows of ``TaskMetrics``.
    """

    __tablename__ = "task_metrics_by_minute"

    grouped_by: Mapped[str] = mapped_column(primary_key=True)
    """``caller``, ``error`` or ``pool``."""
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """Empty: all those together for which a day has no more rows (``pointsman_service.store.metrics.folding``)."""


class TaskMetricsByHour(_Counts, Base):
    """The sum of the minutes of an hour."""

    __tablename__ = "task_metrics_by_hour"

    grouped_by: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsByDay(_Counts, Base):
    """The sum of the minutes of a day, in UTC."""

    __tablename__ = "task_metrics_by_day"

    grouped_by: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class TaskMetricsDelta(_Counts, Base):
    """What one commit adds to the rollup. Inserted, never updated, so that no two writers wait for one hot row."""

    __tablename__ = "task_metrics_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    task_type: Mapped[str]
    queue: Mapped[str]
    minute: Mapped[datetime]
    caller: Mapped[str | None]
    """NULL: of no task, or written by a release that did not tell callers apart."""
    error: Mapped[str | None]
    """The type of the error that an attempt ended with. NULL: none."""
    pool: Mapped[str | None]
    """Whose worker ran it. NULL: none did."""
    born_waiting: Mapped[int] = _zero()
    """Those of ``submitted`` that were not sent at once. The backlog has them from here (``store.queues.backlog``)."""
    born_asleep: Mapped[int] = _zero()
    """Those of ``submitted`` that were not due."""


def _ever() -> Mapped[datetime]:
    return mapped_column(server_default=text("'1970-01-01 00:00:00+00'"))


class TaskMetricsKept(Base):
    """How far back minutes, hours and days go. One row. All moments but two are the begin of a day in UTC."""

    __tablename__ = "task_metrics_kept"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default=text("1"))
    minutes_since: Mapped[datetime] = _ever()
    """No minute before is told."""
    hours_since: Mapped[datetime] = _ever()
    days_since: Mapped[datetime] = _ever()
    carried_to: Mapped[datetime | None]
    """From then on hours and days are the sums of their minutes; before, minutes alone are. NULL: nowhere."""
    began_at: Mapped[datetime | None]
    """When hours and days were first written."""
    folded_at: Mapped[datetime | None]
    """When that was last done. As long as it is not long ago, a trigger keeps the release before from folding."""


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
