"""Shipped tasks are called in this process, with settings of the test's own, against real peers."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.message import HEADER, VERSION
from tests.peers.http import HTTPPeer
from workers.settings import settings

TASK_ID = "01a20271-c811-71a5-99c0-510fde22a57d"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Sets ``POINTSMAN_…`` variables; nothing else of the environment counts."""
    monkeypatch.setenv("POINTSMAN_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(tmp_path / "data"))

    def set_all(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"POINTSMAN_{name.upper()}", str(value))
        settings.cache_clear()

    set_all()
    yield set_all
    settings.cache_clear()


@pytest.fixture
def http_peer() -> Iterator[HTTPPeer]:
    """A server to be called."""
    with HTTPPeer() as peer:
        yield peer


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(task: Any, **arguments: Any) -> Any:
    """The result of the task's body as the message of a managed task runs it, without a control plane."""
    header = {"version": VERSION, "epoch": 1, "dispatch": 1, "after": 1, "expires_at": None, "traceparent": TRACEPARENT}
    task.push_request(id=TASK_ID, called_directly=False, **{HEADER: header})
    try:
        values, named = task.arguments.construct((), arguments)
        return task.run(*values, **named)
    finally:
        task.pop_request()


class Later(Exception):
    """``self.retry()`` was called."""

    def __init__(self, exc: Exception, countdown: float) -> None:
        super().__init__(str(exc))
        self.exc = exc
        self.countdown = countdown


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Lets a task's ``self.retry()`` raise ``Later``."""

    def watch(task: Any) -> None:
        def retry(*, exc: Exception, countdown: float) -> None:
            raise Later(exc, countdown)

        monkeypatch.setattr(task, "retry", retry)

    return watch
