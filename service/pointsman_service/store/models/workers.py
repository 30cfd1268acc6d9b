"""What workers are, offer and ran."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Identity, Index, Integer, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class TaskTypeVersion(Base):
    """A task type as some worker published it. The newest with a live worker counts (``store.workers.catalogue``)."""

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
