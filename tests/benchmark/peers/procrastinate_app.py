"""Procrastinate: its ``defer_async`` behind a FastAPI route, served by uvicorn, and the application of its worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import procrastinate
import procrastinate.schema
from fastapi import FastAPI
from pydantic import BaseModel

TABLE = "procrastinate_jobs"
FILL = f"""
    INSERT INTO {TABLE} (queue_name, task_name, args) SELECT 'default', 'noop', $1::jsonb FROM generate_series(1, $2)
"""
"""What so many calls of ``defer_async`` write."""

queue = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_DATABASE_DSN", ""), min_size=4, max_size=10)
)


class _Submission(BaseModel):
    task_type: str
    kwargs: dict[str, Any] = {}


async def _noop(**_: Any) -> None:
    """Takes any arguments and does nothing."""


noop = queue.task(name="noop")(_noop)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with queue.open_async():
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/tasks", status_code=202)
async def submit(submission: _Submission) -> dict[str, Any]:
    job = await queue.configure_task(submission.task_type).defer_async(**submission.kwargs)
    return {"id": job, "state": "queued"}


def schema() -> str:
    """The SQL of Procrastinate's own tables."""
    return str(procrastinate.schema.SchemaManager.get_schema())
