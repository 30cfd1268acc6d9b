"""Shipped tasks run in this process, with settings of the test's own, against real peers."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pointsman import PermanentError, testing
from pointsman.errors import ArgumentsNotValid
from pointsman.settings import settings
from pointsman.task_type.arguments import arguments_of
from tests.peers.http import HTTPPeer

TASK_ID = "01a20271-c811-71a5-99c0-510fde22a57d"
"""Of every task that a test runs."""

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Sets ``POINTSMAN_…`` variables; nothing else of the environment counts."""
    monkeypatch.setattr(testing, "uuid4", lambda: UUID(TASK_ID))
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
    """The result of one attempt, as readers of the API get it; or raises what ended it.

    Whatever is not permanent must have left the task retrying.
    """
    ran = run_attempt(task, **arguments)
    if ran.raised is not None:
        assert ran.state == ("failed" if isinstance(ran.raised, PermanentError) else "retrying")
        raise ran.raised
    return ran.result


def run_attempt(task: Any, attempt: int = 1, **arguments: Any) -> testing.Ran:
    """How one attempt ended."""
    return testing.run_attempt(task, kwargs=arguments, attempt=attempt)


def assert_refused(task: Any, **arguments: Any) -> None:
    """Fails unless the arguments are refused at submission, and by a worker that gets them all the same."""
    with pytest.raises(ArgumentsNotValid):
        run_attempt(task, **arguments)
    with pytest.raises(ArgumentsNotValid):
        arguments_of(task).construct((), arguments)
