"""What a worker parent makes of the end of a managed message, whoever ends it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Ignore
from celery.worker import request as celery_request
from celery.worker.state import active_requests, requests, reserved_requests

from pointsman import ManagedTask, celery
from pointsman.errors import NotClaimed
from pointsman.node.keeper import Note
from pointsman.node.node import Node, become
from pointsman.node.slots import Slots
from pointsman.parent.request import PointsmanRequest
from pointsman.settings import Settings
from pointsman_contract.message import HEADER

_CELERY: Any = celery_request
_TOLD: list[str] = []
TASK = "01a20271-c811-71a5-99c0-510fde22a57d"


class Heard:
    """Stands where the node's voice is."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def append(self, *notes: Note) -> None:
        self.notes += notes


class Message:
    """A managed message as kombu hands it over."""

    payload: Any = ((), {}, {})
    body = b""
    content_type = content_encoding = None
    delivery_info = {"routing_key": "maintenance"}  # noqa: RUF012 - kombu's name
    properties = {"priority": None, "correlation_id": TASK, "reply_to": ""}  # noqa: RUF012 - likewise

    def __init__(self, after: int) -> None:
        managed = {"version": 1, "dispatch": 4, "after": after, "max_attempts": 2}
        self.headers = {"id": TASK, "task": "unit.told", "ignore_result": True, HEADER: managed}


class Told(ManagedTask):
    """Keeps what its hooks were called with."""

    abstract = True

    def on_retry(self, exc: Any, *_: Any) -> None:
        _TOLD.append(f"on_retry {type(exc).__name__} {self.request.retries}")

    def on_failure(self, exc: Any, *_: Any) -> None:
        _TOLD.append(f"on_failure {type(exc).__name__} {self.request.retries}")

    def after_return(self, status: str, *_: Any) -> None:
        _TOLD.append(f"after_return {status}")


@celery.task(name="unit.told", base=Told)
def told() -> None: ...


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node("n@h", Settings(), Slots(1), 1, ["maintenance"])
    monkeypatch.setattr("pointsman.node.node._current", [])
    become(node)
    node.voice = Heard()  # type: ignore[assignment]  # it hears instead of speaking
    return node


def request(after: int = 0) -> Any:
    """A request whose acknowledgement is kept; nothing is told of it but by its own methods."""

    class Pool:
        apply_async = None

        def terminate_job(self, *_: Any) -> None: ...

    task = celery.tasks["unit.told"]
    _TOLD.clear()
    made = _CELERY.create_request_cls(PointsmanRequest, task, Pool(), "n@h", None, app=celery)
    answers: list[str] = []
    one = made(
        Message(after),
        on_ack=lambda *_: answers.append("ack"),
        on_reject=lambda *_: answers.append("reject"),
        app=celery,
        task=task,
        hostname="n@h",
    )
    one.answers = answers
    return one


@pytest.fixture(autouse=True)
def _no_requests_left() -> Any:
    yield
    for kept in (requests, active_requests, reserved_requests):
        kept.clear()


@contextmanager
def failures_told() -> Iterator[list[Any]]:
    """The senders of Celery's signal of failures, while the block runs."""
    senders: list[Any] = []

    def failed(sender: Any, **_: Any) -> None:
        senders.append(sender)

    signals.task_failure.connect(failed)
    yield senders
    signals.task_failure.disconnect(failed)


def failure(error: Exception) -> ExceptionInfo:
    try:
        raise error
    except Exception:
        return ExceptionInfo()


def said(node: Node) -> list[tuple[str, dict[str, Any]]]:
    return [(note.kind, json.loads(note.body)) for note in node.voice.notes]  # type: ignore[union-attr]  # it heard


def test_what_no_process_could_take_to_the_gate_is_said_with_its_reason(node: Node) -> None:
    one = request()
    one.on_success((1, failure(NotClaimed("SlotsFull: all 20 slots are taken")), 0.0))
    ((kind, body),) = said(node)
    assert (kind, body["reason"], body["dispatch"]) == ("unclaimed", "SlotsFull: all 20 slots are taken", 4)
    assert one.answers == ["ack"]


def test_what_never_got_to_its_process_is_said_and_is_no_failure_to_celery(node: Node) -> None:
    with failures_told() as failures:
        request().on_failure(failure(UnicodeDecodeError("utf-8", b"", 0, 1, "no")))
    ((kind, body),) = said(node)
    assert (kind, body["reason"].partition(":")[0], failures) == ("unclaimed", "UnicodeDecodeError", [])


def test_a_message_that_is_let_go_of_on_any_other_way_is_said(node: Node) -> None:
    request().acknowledge()
    request().reject(requeue=False)
    assert [kind for kind, _ in said(node)] == ["unclaimed", "unclaimed"]


def test_what_the_gate_or_a_report_has_told_of_is_not_said_again(node: Node) -> None:
    request().on_success((0, "None", 0.0))
    request().on_success((1, failure(Ignore("duplicate")), 0.0))
    request().on_success((1, failure(ValueError("of the body")), 0.0))
    request().reject(requeue=True)
    assert said(node) == []


def test_a_revoke_is_a_request_to_cancel_said_once(node: Node) -> None:
    one = request()
    one._announce_revoked("revoked", False, None, False)
    one._announce_revoked("revoked", False, None, False)
    assert said(node) == [("revoked", {"by": "celery control revoke on n@h", "kill": False})]
    assert one.answers == ["ack"]


@pytest.mark.parametrize(
    ("after", "error", "hooks"),
    [
        (0, TimeLimitExceeded(1), ["on_retry TimeLimitExceeded 0"]),
        (1, TimeLimitExceeded(1), ["on_failure TimeLimitExceeded 1", "after_return FAILURE"]),
        (0, WorkerLostError("killed"), ["on_retry WorkerLostError 0"]),
        (1, WorkerLostError("killed"), []),
    ],
)
def test_a_death_is_a_failure_only_when_no_attempt_follows(
    node: Node, after: int, error: Exception, hooks: list[str]
) -> None:
    one = request(after)
    with failures_told() as failures:
        if isinstance(error, TimeLimitExceeded):
            one.on_timeout(soft=False, timeout=1)
        one.on_failure(failure(error))
    assert hooks == _TOLD
    assert len(failures) == after
    assert (one.answers, said(node)) == (["ack"], [])
