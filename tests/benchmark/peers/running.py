"""The peers of a bench as child processes, on the PostgreSQL and the Valkey of its stack."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pointsman_service.embedded.ports import HOST, free_port
from tests.benchmark.database import Database
from tests.benchmark.stack import Stack

_FLOWER_DATABASE = 4
_NAIVE_DATABASE = 5
_PROCRASTINATE = ("procrastinate", "--app=tests.benchmark.peers.procrastinate_app.queue", "--log-level=warning")


@contextmanager
def echo(stack: Stack) -> Iterator[str]:
    """The URL of the route that only validates and answers."""
    with _served(stack, "echo", "tests.benchmark.peers.echo:app", {}) as url:
        yield f"{url}/tasks"


@contextmanager
def bare_asgi(stack: Stack) -> Iterator[str]:
    """The URL of the handler that looks at nothing."""
    with _served(stack, "bare_asgi", "tests.benchmark.peers.bare_asgi:app", {}) as url:
        yield url


@contextmanager
def flower(stack: Stack) -> Iterator[tuple[str, str]]:
    """The URL of Flower's ``send-task`` for the no-op, and of its broker."""
    broker = stack.bare_url(_FLOWER_DATABASE)
    port = free_port()
    words = ("celery", "-A", "tests.benchmark.peers.bare_celery", "flower", f"--address={HOST}", f"--port={port}")
    environment = {"BENCH_BROKER_URL": broker, "FLOWER_UNAUTHENTICATED_API": "true"}
    with stack.running("flower", *words, "--logging=warning", environment=environment):
        stack.wait(lambda: _listens(port), "Flower")
        yield f"http://{HOST}:{port}/api/task/send-task/noop", broker


@contextmanager
def naive_endpoint(stack: Stack) -> Iterator[tuple[str, str, Database]]:
    """The URL of the naive endpoint, its broker's, and its database."""
    dsn, database_url = stack.new_database("naive")
    broker = stack.bare_url(_NAIVE_DATABASE)
    environment = {"BENCH_BROKER_URL": broker, "BENCH_DATABASE_URL": database_url}
    with _served(stack, "naive", "tests.benchmark.peers.naive:app", environment) as url, Database(dsn) as database:
        yield f"{url}/tasks", broker, database


@contextmanager
def procrastinate_schema(stack: Stack) -> Iterator[tuple[dict[str, str], Database]]:
    """What a process of Procrastinate needs in its environment, and its database with its schema."""
    dsn, _ = stack.new_database("procrastinate")
    with Database(dsn) as database:
        environment = {"BENCH_DATABASE_DSN": dsn}
        stack.run("procrastinate_schema", ("-m", *_PROCRASTINATE, "schema", "--apply"), environment)
        yield environment, database


@contextmanager
def procrastinate_endpoint(stack: Stack, environment: dict[str, str]) -> Iterator[str]:
    """The URL of the route that defers to Procrastinate."""
    with _served(stack, "procrastinate", "tests.benchmark.peers.procrastinate_app:app", environment) as url:
        yield f"{url}/tasks"


@contextmanager
def procrastinate_worker(stack: Stack, environment: dict[str, str], concurrency: int = 4) -> Iterator[None]:
    """Procrastinate's worker, as its own command line starts it."""
    words = (*_PROCRASTINATE, "worker", f"--concurrency={concurrency}")
    with stack.running("procrastinate", *words, environment=environment):
        yield


@contextmanager
def _served(stack: Stack, name: str, application: str, environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    words = ("uvicorn", application, "--host", HOST, "--port", str(port), "--no-access-log", "--log-level", "warning")
    with stack.running(name, *words, environment=environment):
        stack.wait(lambda: _listens(port), name)
        yield f"http://{HOST}:{port}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
