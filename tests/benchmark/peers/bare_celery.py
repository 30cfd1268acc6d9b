"""The peer: a Celery application at its defaults, without a line of Pointsman."""

import json
import os
import time
from typing import Any, cast
from uuid import uuid4

from celery import Celery
from redis import Redis

TASK = "noop"


def bare_app(broker_url: str | None, results_url: str | None = None) -> Celery:
    """JSON, early acknowledgement, Celery's own priorities; without ``results_url`` results are ignored."""
    app = Celery("bare", broker=broker_url, backend=results_url, set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    app.conf.task_ignore_result = results_url is None
    app.task(name=TASK, shared=False)(noop)
    return app


def noop(*args: Any, **kwargs: Any) -> None:
    """Takes any arguments and does nothing."""


def send_for(app: Celery, seconds: float, kwargs: dict[str, Any]) -> tuple[int, float]:
    """Call ``send_task`` in a loop. Returns how often, and in how many seconds."""
    sent = 0
    since = time.perf_counter()
    while (now := time.perf_counter()) < since + seconds:
        app.send_task(TASK, kwargs=kwargs)
        sent += 1
    return sent, now - since


def fill(app: Celery, broker: Redis, count: int, kwargs: dict[str, Any]) -> None:
    """Put so many calls into the queue: the message of one ``send_task``, again and again under ids of its own."""
    task_id = app.send_task(TASK, kwargs=kwargs).id
    (message,) = cast("list[bytes]", broker.lrange("celery", 0, -1))
    tag = json.loads(message)["properties"]["delivery_tag"]
    pipeline = broker.pipeline()
    for _ in range(count - 1):
        copy = message.replace(task_id.encode(), str(uuid4()).encode()).replace(tag.encode(), str(uuid4()).encode())
        pipeline.lpush("celery", copy)
    pipeline.execute()


app = bare_app(os.environ.get("BENCH_BROKER_URL"), os.environ.get("BENCH_RESULTS_URL"))
"""The application of the worker: ``celery -A tests.benchmark.peers.bare_celery worker``."""
