"""The least a FastAPI application can do: check the same body and say it again. Nothing is stored."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict


class Submission(BaseModel):
    """The fields that ours takes."""

    model_config = ConfigDict(extra="forbid")

    task_type: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: str | None = None
    priority: int | None = None
    scheduled_at: datetime | None = None
    delay_seconds: float | None = None
    expires_at: datetime | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    tags: dict[str, str] | None = None


app = FastAPI()


@app.post("/tasks", status_code=202)
async def submit(submission: Submission) -> Submission:
    return submission
