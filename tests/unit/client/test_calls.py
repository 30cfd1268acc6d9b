import os
import pickle
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman_client import Client, DeadlineOver, NeverSent, Refused, Unreachable
from pointsman_client.models import PredictedWait, Task, TaskAct
from pointsman_client.problems import InvalidRequest, NotFound, RateExceeded, Unavailable, UnknownTaskType
from tests.stand.waiting import SLOWEST
from tests.unit.client.scripted import HALVES, RESET, answer, by, problem, scripted
from tests.unit.client.served import talking

TASK = {"id": "t-1", "state": "queued", "submitted_at": "2026-11-29T08:00:00Z", "result": None}
SECONDS = float(os.environ.get("DEADLINE_SECONDS", "0.4"))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
either = pytest.mark.parametrize("half", HALVES)


def submit(client: Any) -> Any:
    return client.tasks.submit_task(task_type="echo", args=["hello"])


@either
def test_a_call_says_what_it_was_given_and_its_answer_has_types(half: str) -> None:
    with scripted(answer(202, TASK)) as api:
        at = datetime(2026, 12, 1, tzinfo=UTC)
        task = by(half, api.url, lambda c: c.tasks.submit_task(task_type="echo", scheduled_at=at, tags={"a": "b"}))
    (asked,) = api.asked
    assert asked.line == "POST /v1/tasks HTTP/1.1"
    assert asked.body == {"task_type": "echo", "scheduled_at": "2026-12-01T00:00:00+00:00", "tags": {"a": "b"}}
    assert isinstance(task, Task)
    assert (task.id, task.submitted_at) == ("t-1", datetime(2026, 11, 29, 8, tzinfo=UTC))
    assert task.answer is not None
    assert (task.answer.status, task.answer.request_id) == (202, "r-7")


CUT = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n\r\n{"id": "t-'
"""By a proxy that tells no length, so that the connection's end looks like that of the answer."""


@either
@pytest.mark.parametrize(
    "trouble", [RESET, CUT, problem("unavailable", 503), problem("too-slow", 408), answer(429), answer(425),
                answer(502), problem("internal", 500), problem("idempotency-key-in-use", 409)],
)  # fmt: skip
def test_a_submission_is_sent_again_with_the_same_key(half: str, trouble: bytes) -> None:
    with scripted(trouble, trouble, answer(202, TASK)) as api:
        assert by(half, api.url, submit).id == "t-1"
    assert len(api.keys()) == 3
    assert len(set(api.keys())) == 1
    assert len(api.keys()[0]) > 20


def test_each_submission_has_a_key_of_its_own() -> None:
    with scripted(answer(202, TASK)) as api, Client(api.url) as client:
        submit(client)
        submit(client)
        client.tasks.submit_task(task_type="echo", idempotency_key="mine")
    assert len(set(api.keys())) == 3
    assert api.keys()[-1] == "mine"


@either
def test_what_the_api_asks_to_wait_is_waited(half: str) -> None:
    with scripted(problem("unavailable", 503, Retry_After="1"), answer(202, TASK)) as api:
        began = time.monotonic()
        by(half, api.url, submit)
        assert 1.0 <= time.monotonic() - began < 3.0


@either
def test_an_api_that_asks_for_no_pause_gets_one(half: str) -> None:
    # Where the deadline falls into an attempt, it is that which is told.
    with scripted(problem("rate-exceeded", 429, Retry_After="0")) as api, pytest.raises((RateExceeded, DeadlineOver)):
        by(half, api.url, lambda client: client.tasks.submit("echo"), timeout=0.5)
    assert len(api.asked) <= 8


@either
def test_what_comes_back_after_the_deadline_is_not_waited_for(half: str) -> None:
    with scripted(problem("unavailable", 503, Retry_After="60")) as api:
        began = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            by(half, api.url, submit, timeout=5.0)
        assert time.monotonic() - began < 2.0
    assert refused.value.retry_after_seconds == 60


@either
@pytest.mark.parametrize("code", ["breaker-open", "sla-at-risk"])
def test_a_refusal_that_was_asked_for_is_told_at_once(half: str, code: str) -> None:
    with scripted(problem(code, 503, Retry_After="1")) as api, pytest.raises(Unavailable):
        by(half, api.url, submit)
    assert len(api.asked) == 1


@either
def test_an_act_whose_answer_is_lost_is_not_done_twice(half: str) -> None:
    with scripted(RESET, answer(200, {})) as api, pytest.raises(Unreachable):
        by(half, api.url, lambda client: client.queues.pause("email", reason="r"))
    assert len(api.asked) == 1


@either
def test_an_act_that_was_not_done_is_asked_for_again(half: str) -> None:
    with scripted(problem("database-away", 503), answer(200, {"name": "email"})) as api:
        by(half, api.url, lambda client: client.queues.pause("email", reason="r"))
    assert len(api.asked) == 2


@either
def test_retries_can_be_bounded(half: str) -> None:
    with scripted(problem("unavailable", 503)) as api, pytest.raises(Unavailable):
        by(half, api.url, submit, retries=2)
    assert len(api.asked) == 3


@either
def test_an_error_of_the_api_itself_is_asked_for_twice_more(half: str) -> None:
    with scripted(problem("internal", 500)) as api, pytest.raises(Refused) as refused:
        by(half, api.url, submit)
    assert (len(api.asked), refused.value.status) == (3, 500)


def test_a_refusal_is_raised_by_its_type_and_says_what_is_at_fault() -> None:
    errors = [{"pointer": "/task_type", "detail": "unknown task type"}]
    fault = problem("unknown-task-type", 422, errors=errors, task_id="t-9")
    with scripted(fault) as api, Client(api.url) as client, pytest.raises(UnknownTaskType) as refused:
        submit(client)
    error = refused.value
    assert isinstance(error, InvalidRequest)
    assert str(error) == "It is unknown-task-type. /task_type: unknown task type (request r-7)"
    assert (error.request_id, error.task_id, error.errors) == ("r-7", "t-9", errors)


def test_a_refusal_of_a_type_that_is_not_known_yet_is_raised_by_its_status() -> None:
    with scripted(problem("from-the-future", 404)) as api, Client(api.url) as client, pytest.raises(NotFound):
        client.tasks.get("t-1")


def dead() -> tuple[socket.socket, str]:
    """A port that takes no connection and refuses none: its queue of connections is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return listener, url


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips(first: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.02):
            connection.sendall(b"x")

    return talk


@either
@pytest.mark.parametrize("talk", [silent, drips(b"HTTP/1.1 200 OK\r\nX-Long: "), drips(HEAD)])
def test_a_call_to_a_server_that_is_silent_or_drips_ends_in_time(half: str, talk: Any) -> None:
    with talking(talk) as place:
        began = time.monotonic()
        with pytest.raises(DeadlineOver, match="no answer in time"):
            by(half, place.url, lambda client: client.tasks.get("t-1"), timeout=SECONDS)
        assert SECONDS * 0.9 <= time.monotonic() - began < SECONDS + SLOWEST * 0.6


@either
def test_a_call_whose_long_body_nobody_reads_ends_in_time(half: str) -> None:
    with talking(silent) as place:
        began = time.monotonic()
        with pytest.raises(DeadlineOver):
            by(half, place.url, lambda c: c.tasks.submit_task(task_type="e", args=["x" * 30_000_000]), timeout=SECONDS)
        assert time.monotonic() - began < SECONDS + SLOWEST * 2.0


@either
def test_a_call_that_gets_no_connection_ends_in_time(half: str) -> None:
    listener, url = dead()
    waiting = [socket.socket() for _ in range(8)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    try:
        began = time.monotonic()
        with pytest.raises((NeverSent, DeadlineOver)):
            by(half, url, lambda client: client.tasks.get("t-1"), timeout=SECONDS)
        assert SECONDS * 0.9 <= time.monotonic() - began < SECONDS + SLOWEST * 0.6
    finally:
        for sock in (*waiting, listener):
            sock.close()


@either
def test_a_closed_port_is_tried_until_the_deadline(half: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(NeverSent, match="connection refused"):
        by(half, url, submit, timeout=2.0)
    assert 1.0 <= time.monotonic() - began <= 2.0 + SLOWEST * 0.1


@either
def test_a_host_that_does_not_exist_is_told(half: str) -> None:
    with pytest.raises(NeverSent, match="no such host"):
        by(half, "http://no-such-host.invalid", submit, timeout=30.0, retries=0)


@either
def test_a_key_that_no_header_could_carry_is_refused_before_anything_is_sent(half: str) -> None:
    def submit_with_it(client: Any) -> Any:
        return client.tasks.submit_task(task_type="echo", idempotency_key="a\nb")

    with scripted(answer(202, TASK)) as api:
        with pytest.raises(ValueError, match="Idempotency-Key must be one line"):
            by(half, api.url, submit_with_it)
        by(half, api.url, lambda client: client.tasks.submit_task(task_type="echo", idempotency_key="Auftrag-ü"))
    assert len(api.asked) == 1


def test_a_client_with_other_options_has_the_same_connections() -> None:
    with scripted(answer(200, TASK)) as api, Client(api.url) as client:
        client.tasks.get("t-1")
        hasty = client.with_options(timeout=1.0, retries=0)
        hasty.tasks.get("t-1")
    assert (len(api.asked), api.connections) == (2, 1)


def test_a_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    with scripted(answer(200, TASK), RESET, answer(200, TASK)) as api, Client(api.url) as client:
        assert client.tasks.get("t-1") == client.tasks.get("t-1")


def test_the_key_is_in_a_header_and_nowhere_else() -> None:
    with scripted(problem("not-found", 404)) as api, Client(api.url, key="pm_secret") as client:
        with pytest.raises(NotFound) as refused:
            client.tasks.get("t-1")
        assert api.asked[0].headers["authorization"] == "Bearer pm_secret"
        assert "secret" not in f"{client!r}{refused.value}{refused.value!r}{api.asked[0].line}{client.tasks!r}"


def test_a_key_that_was_made_is_told_when_it_is_asked_for_and_not_by_the_way() -> None:
    with scripted(answer(200, {"id": "k-1", "key": "pm_secret"})) as api, Client(api.url) as client:
        made = client.keys.create(name="shop")
    assert made.key == "pm_secret"
    assert repr(made) == "KeyMade(id='k-1', key=…)"


@either
def test_raw_answers_can_be_had_of_any_path(half: str) -> None:
    with scripted(answer(200, {"some": "thing"}, ETag='"4"')) as api:
        got = by(half, api.url, lambda client: client.request("GET", "/v1/new/thing", query={"a": [1, 2], "b": True}))
    assert (got.status, got.json(), got.headers["etag"]) == (200, {"some": "thing"}, '"4"')
    assert api.asked[0].line == "GET /v1/new/thing?a=1&a=2&b=true HTTP/1.1"


@either
def test_an_iterator_goes_through_all_pages(half: str) -> None:
    pages = [{"items": [TASK], "next_cursor": "c1"}, {"items": [TASK | {"id": "t-2"}], "next_cursor": None}]
    with scripted(*(answer(200, each) for each in pages)) as api:
        found = by(half, api.url, lambda client: client.tasks.each(state="failed", limit=1))
        assert [task.id for task in found] == ["t-1", "t-2"]
    assert [asked.line.split()[1] for asked in api.asked] == [
        "/v1/tasks?state=failed&limit=1", "/v1/tasks?state=failed&limit=1&cursor=c1",
    ]  # fmt: skip


@either
def test_a_stream_goes_on_where_its_connection_broke_off(half: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 10\n\n"
    first = head + b'event: task\nid: 4\ndata: {"state": "queued"}\n\nevent: task\nid: 5\ndata: {"st'
    second = head + b'event: task\nid: 6\ndata: {"state": "failed"}\n\n'
    third = head + b"data: 1\n\n"
    with scripted(first, second, third, b"HTTP/1.1 204 No\r\n\r\n") as api:
        found = list(by(half, api.url, lambda client: client.tasks.stream("t-1")))
    assert [(event.name, event.id, event.data) for event in found] == [
        ("task", "4", {"state": "queued"}), ("task", "6", {"state": "failed"}), ("message", "6", 1),
    ]  # fmt: skip
    assert [asked.headers.get("last-event-id") for asked in api.asked] == [None, "4", "6", "6"]


def test_null_is_something_else_than_nothing_where_a_task_is_changed() -> None:
    with scripted(answer(200, TASK)) as api, Client(api.url) as client:
        client.tasks.change("t-1", queue="email", scheduled_at=None)
    assert api.asked[0].body == {"queue": "email", "scheduled_at": None}


def test_a_path_holds_any_name() -> None:
    with scripted(answer(200, {"name": "x"})) as api, Client(api.url) as client:
        client.breakers.get("dependency", "api.bank.example:8443/ü")
    assert api.asked[0].line.split()[1] == "/v1/breakers/dependency/api.bank.example%3A8443%2F%C3%BC"


def test_a_moment_without_a_zone_is_refused_before_anything_is_sent() -> None:
    with scripted(answer(200, TASK)) as api, Client(api.url) as client, pytest.raises(ValueError, match="time zone"):
        client.tasks.submit_task(task_type="echo", scheduled_at=datetime(2026, 12, 1))  # noqa: DTZ001
    assert api.asked == []


def test_a_document_says_what_it_lacks_and_what_it_is_not() -> None:
    task = Task(TASK)
    with pytest.raises(AttributeError, match="this API does not tell 'queue'"):
        _ = task.queue
    with pytest.raises(AttributeError, match="has no 'colour'"):
        _ = getattr(task, "colour")  # noqa: B009 - mypy knows it, too
    with pytest.raises(AttributeError, match="cannot be set"):
        task.state = "failed"
    assert pickle.loads(pickle.dumps(task)) == task
    assert Task({"predicted_wait": {"p50_seconds": 1.0}}).predicted_wait == PredictedWait({"p50_seconds": 1.0})


@either
def test_an_answer_of_two_kinds_is_of_the_one_that_it_has_the_fields_of(half: str) -> None:
    act = dict.fromkeys(TaskAct._fields) | {"id": "a-1"}
    for document, kind in (({"tasks": 3, "submitted_before": "2026-11-29T08:00:00Z", "dry_run": True}, "CountedTasks"),
                           (act, "TaskAct")):  # fmt: skip
        with scripted(answer(200, document)) as api:
            found = by(half, api.url, lambda client: client.tasks.cancel_many(queue="email"))
        assert type(found).__name__ == kind
