"""The endpoint most write first: a row, a commit, then ``send_task`` in a thread. Served by uvicorn."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncAttrs, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.benchmark.peers.bare_celery import bare_app
from tests.benchmark.peers.tables import NAIVE


class _Base(AsyncAttrs, DeclarativeBase):
    pass


class _SubmittedTask(_Base):
    __tablename__ = NAIVE

    id: Mapped[UUID] = mapped_column(primary_key=True)
    task_type: Mapped[str]
    kwargs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]


class _Submission(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_type: str
    kwargs: dict[str, Any] = {}


_engine = create_async_engine(os.environ.get("BENCH_DATABASE_URL", "postgresql+asyncpg://"))
_session = async_sessionmaker(_engine, expire_on_commit=False)
_celery = bare_app(os.environ.get("BENCH_BROKER_URL"))


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with _engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)
    yield
    await _engine.dispose()


app = FastAPI(lifespan=_lifespan)


@app.post("/tasks", status_code=202)
async def submit(submission: _Submission) -> dict[str, Any]:
    task = _SubmittedTask(id=uuid4(), task_type=submission.task_type, kwargs=submission.kwargs, state="queued")
    async with _session() as session:
        session.add(task)
        await session.commit()
    await asyncio.to_thread(_celery.send_task, submission.task_type, kwargs=submission.kwargs, task_id=str(task.id))
    return {"id": task.id, "state": task.state}
