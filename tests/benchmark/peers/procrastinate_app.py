"""Procrastinate: its ``defer_async`` behind a FastAPI route, served by uvicorn, and the application of its worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import procrastinate
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

queue = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_DATABASE_DSN", ""), min_size=4, max_size=10)
)


class _Submission(BaseModel):
    model_config = ConfigDict(extra="forbid")

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
