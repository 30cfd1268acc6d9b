"""What answers may be anything: a proxy, a page, somebody who means ill. Whatever it says, it is a ``ClientError``."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from pointsman_client import ClientError, NotTold, Refused
from pointsman_client.wire import cutting
from pointsman_client.wire.cutting import Cutter
from tests.unit.client.scripted import HALVES, answer, by, scripted

either = pytest.mark.parametrize("half", HALVES)
TASK = {"id": "t-1", "task_type": "echo", "state": "queued"}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def said(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body


ANSWERS = {
    "a page": said(200, b"<html>Welcome</html>", "text/html"),
    "a page of a proxy": said(502, b"<html>502 Bad Gateway</html>", "text/html"),
    "no text": said(200, b"\xff\xfe\x00"),
    "half a document": said(200, b'{"id": "t-'),
    "a list": said(200, b"[1]"),
    "null": said(200, b"null"),
    "an empty document": said(200, b"{}"),
    "depth": said(200, b"[" * 200_000),
    "a deep refusal": said(422, b'{"errors":' + b"[" * 200_000),
    "a refusal of nothing": said(422, b'{"errors": 5, "detail": ["no"], "type": 7, "results": {}}'),
    "fields of other kinds": said(200, b'{"id": 1, "state": [], "items": 3, "submitted_at": 4, "results": "x"}'),
    "documents that are none": said(200, b'{"id": "t-1", "items": [4], "next_cursor": null, "results": [5]}'),
    "packed twice": said(200, gzip.compress(gzip.compress(b"{}")), Content_Encoding="gzip, gzip"),
    "packed and broken": said(200, b"no gzip", Content_Encoding="gzip"),
    "another place": said(302, b"", Location="http://127.0.0.1:9/v1/tasks"),
}


USES: dict[str, Callable[[Any], Any]] = {
    "get": lambda client: client.tasks.get("t-1"),
    "submit": lambda client: client.tasks.submit("echo"),
    "each": lambda client: client.tasks.each(limit=1),
    "wait": lambda client: client.tasks.handle("t-1").wait(0.3),
    "look": lambda client: client.tasks.handle("t-1").wait(0),
    "events": lambda client: client.tasks.stream("t-1"),
}
"""What somebody does with an answer."""


@either
@pytest.mark.parametrize("answered", ANSWERS)
def test_whatever_is_answered_is_an_error_of_the_client(half: str, answered: str) -> None:
    with scripted(ANSWERS[answered]) as api:
        for use, act in USES.items():
            try:
                found = by(half, api.url, act, timeout=0.5, retries=1)
            except ClientError:
                continue
            for one in found if isinstance(found, list) else [found]:
                with pytest.raises(NotTold):
                    _ = (one.task if use == "submit" else one).submitted_at


@either
def test_a_redirection_is_not_followed_and_the_key_goes_nowhere_else(half: str) -> None:
    with scripted(answer(200, TASK)) as other, scripted(said(307, b"", Location=f"{other.url}/v1/tasks")) as api:
        with pytest.raises(Refused) as refused:
            by(half, api.url, lambda client: client.tasks.submit("echo"), key="pm_secret")
        assert (refused.value.status, len(api.asked), other.asked) == (307, 1, [])
    assert "secret" not in f"{refused.value!r}{refused.value}"


@either
@pytest.mark.parametrize("page", [said(200, b"<html>\n\n</html>\n", "text/html"), answer(200, {})])
def test_a_page_is_no_stream(half: str, page: bytes) -> None:
    with scripted(page) as api, pytest.raises(Refused, match="its answer is no event stream"):
        by(half, api.url, lambda client: client.tasks.stream("t-1"))
    assert len(api.asked) == 1


@either
def test_a_stream_that_ends_at_once_each_time_is_given_up(half: str) -> None:
    # Where the deadline falls into an attempt, it is that which is told.
    told = "ended before it had begun|no answer in time"
    with scripted(STREAM) as api, pytest.raises(ClientError, match=told):
        by(half, api.url, lambda client: client.tasks.stream("t-1"), timeout=0.5)
    assert len(api.asked) > 1


@either
def test_text_of_others_ends_no_line_of_a_stream(half: str) -> None:
    """JSON may hold them as they are: what a task says of its progress would break the stream for everybody."""
    note = "a\u2028b\u2029c\x85d"
    event = f"id: 1\nevent: task\ndata: {json.dumps({'note': note}, ensure_ascii=False)}\n\nevent: end\ndata: 1\n\n"
    with scripted(STREAM + event.encode()) as api:
        first, _ = by(half, api.url, lambda client: client.tasks.stream("t-1"))
    assert first.data == {"note": note}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_end_by_either_end_wherever_they_are_cut(size: int) -> None:
    text = "a\nb\r\n\rc \u2028\x0b\x0cd\r\n\r\n\n".encode()
    cutter = Cutter()
    found = [line for at in range(0, len(text), size) for line in cutter.take(text[at : at + size])]
    assert found == ["a", "b", "", "c \u2028\x0b\x0cd", "", ""]
    assert cutter.take(b"no end") == []


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MOST_BYTES", 100)
    cutter = Cutter()
    assert [cutter.take(b"x" * 50), cutter.take(b"x" * 50)] == [[], []]
    with pytest.raises(Refused, match="longer than any"):
        cutter.take(b"x")
