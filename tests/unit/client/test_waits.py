"""Waits of many through one client: which stream they share, and what it costs."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from anyio.from_thread import start_blocking_portal

from pointsman_client import AsyncClient, Client
from pointsman_client.aio import waits as waiting_waits
from pointsman_client.problems import KeyRevoked
from pointsman_client.sync import waits as blocking_waits
from tests.stand.waiting import until_now
from tests.unit.client.scripted import HALVES

either = pytest.mark.parametrize("half", HALVES)


class Api:
    """Tasks that end when they are told to, and the streams that tell of it."""

    def __init__(self, *, knows_names: bool = True) -> None:
        self.url = ""
        self.knows_names = knows_names
        """In streams and in lists."""
        self.long: set[str] = set()
        """Tasks that are cut in lists."""
        self.refuses = False
        """Whether it lets nobody listen."""
        self.refused = 0
        self.revoked = False
        """Whether the key of everybody was revoked: nothing is answered, and who listens no longer does."""
        self.ended: set[str] = set()
        self.begun: list[frozenset[str] | None] = []
        """What each stream names, in order; None: it is of all."""
        self._connections: set[socket.socket] = set()
        self.most_open = 0
        """Of connections at once that nobody had hung up."""
        self.requests = 0
        """Of tasks: one, or several at once."""
        self.over = False
        self._changed = threading.Condition()
        self._told: list[str] = []

    def end(self, *ids: str) -> None:
        with self._changed:
            self.ended |= set(ids)
            self._told += ids
            self._changed.notify_all()

    def revoke(self) -> None:
        with self._changed:
            self.revoked = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.add(connection)
            # Whoever hung up is noticed here only with what is written next.
            there = sum(not _is_hung_up(each) for each in self._connections)
            self.most_open = max(self.most_open, there)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.discard(connection)

    def task(self, task_id: str, seconds: float) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: task_id in self.ended or self.over, seconds)
            state = "succeeded" if task_id in self.ended else "running"
        return {"id": task_id, "task_type": "echo", "state": state, "result": task_id, "error": None}

    def listed(self, names: list[str]) -> dict[str, Any]:
        tasks = [self.task(each, 0) for each in names]
        cut = [each | {"cut": ["result"], "result": None} if each["id"] in self.long else each for each in tasks]
        return {"items": cut[::-1], "next_cursor": None, "searched_until": None}

    def tell(self, names: frozenset[str] | None, write: Callable[[bytes], Any]) -> None:
        with self._changed:
            self.begun.append(names)
            at = len(self._told)
        write(b"retry: 10\n\nevent: begin\nid: 1\ndata: {}\n\n")
        while not self.over and not self.revoked:
            with self._changed:
                if len(self._told) == at and not self.over:
                    self._changed.wait(0.5)
                news, at = self._told[at:], len(self._told)
            told = [{"id": each, "state": "succeeded"} for each in news if names is None or each in names]
            write(b"event: tasks\nid: 2\ndata: %b\n\n" % json.dumps({"changes": told, "left_out": 0}).encode()
                  if told else b": \n\n")  # fmt: skip


def _is_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            api.opened(self.connection)

        def finish(self) -> None:
            api.closed(self.connection)
            with suppress(OSError):
                super().finish()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            names = parse_qs(parts.query).get("task_id")
            api.requests += parts.path != "/v1/tasks/events"
            if api.revoked:
                self._answer(401, {"type": "urn:pointsman:problem:key-revoked"})
            elif parts.path == "/v1/tasks" and not api.knows_names:
                self._answer(422, {"type": "urn:pointsman:problem:invalid-request"})
            elif parts.path == "/v1/tasks":
                self._answer(200, api.listed(names or []))
            elif parts.path != "/v1/tasks/events":
                seconds = float((self.headers.get("Prefer") or "wait=0").partition("=")[2])
                self._answer(200, api.task(parts.path.rpartition("/")[2], seconds))
            elif api.refuses:
                api.refused += 1
                self._answer(503, {"type": "urn:pointsman:problem:database-away"})
            elif names is not None and not api.knows_names:
                self._answer(422, {"type": "urn:pointsman:problem:invalid-request"})
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.close_connection = True
                with suppress(OSError):
                    api.tell(None if names is None else frozenset(names), self.wfile.write)

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api
    finally:
        api.close()
        server.shutdown()
        thread.join()
        server.server_close()


Wait = Callable[[str], "Future[Any]"]


@contextmanager
def waiting(half: str, url: str, timeout: float = 60.0) -> Iterator[Wait]:
    """Waits for a task, beside others."""
    if half == "blocking":
        with Client(url, timeout=timeout) as client, ThreadPoolExecutor(128) as threads:
            yield lambda task_id: threads.submit(client.tasks.end_of, task_id, 100)
    else:
        waits = AsyncClient(url, timeout=timeout)
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(waits) as client:
            yield lambda task_id: portal.start_task_soon(client.tasks.end_of, task_id, 100)


@either
def test_a_stream_names_the_tasks_that_few_wait_for(half: str) -> None:
    with serving(Api()) as api, waiting(half, api.url) as wait:
        waits = {each: wait(each) for each in ("t-0", "t-1", "t-2")}
        until_now(lambda: api.begun[-1:] == [frozenset(waits)], lambda: f"all to be named: {api.begun}")
        api.end("t-0")
        assert waits["t-0"].result(60).result == "t-0"
        waits["t-3"] = wait("T-3".lower())
        until_now(lambda: "t-3" in (api.begun[-1] or ()), lambda: f"the new one to be named, too: {api.begun}")
        api.end("t-1", "t-2", "t-3")
        assert [each.result(60).result for each in waits.values()] == list(waits)
    # A connection that is closed may be counted a little longer than its successor is not.
    assert api.most_open <= 3


@either
def test_a_stream_of_many_names_none_until_they_are_few(half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking_waits if half == "blocking" else waiting_waits, "_LOOK_SECONDS", 0.5)
    with serving(Api()) as api, waiting(half, api.url) as wait:
        waits = [wait(f"t-{number}") for number in range(120)]
        until_now(lambda: api.begun[-1:] == [None], lambda: f"a stream of all: {len(api.begun)}")
        api.end(*(f"t-{number}" for number in range(90)))
        until_now(lambda: api.begun[-1] is not None, lambda: f"a stream of few: {len(api.begun)}")
        api.end(*(f"t-{number}" for number in range(90, 120)))
        assert [each.result(60).result for each in waits] == [f"t-{number}" for number in range(120)]


@either
def test_those_who_come_one_after_the_other_share_a_stream_that_names_none(
    half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking_waits if half == "blocking" else waiting_waits, "_GATHER_SECONDS", 0.0)
    with serving(Api()) as api, waiting(half, api.url) as wait:
        waits = [wait("t-0"), wait("t-1")]
        for number in range(2, 9):
            until_now(
                lambda: api.begun and (api.begun[-1] is None or f"t-{len(waits) - 1}" in api.begun[-1]), "a stream"
            )
            waits.append(wait(f"t-{number}"))
        until_now(lambda: api.begun[-1] is None, lambda: f"a stream of all: {api.begun}")
        assert len(api.begun) <= 6
        api.end(*(f"t-{number}" for number in range(9)))
        assert [each.result(60).result for each in waits] == [f"t-{number}" for number in range(9)]


@either
def test_an_api_that_takes_no_names_tells_of_all(half: str) -> None:
    with serving(Api(knows_names=False)) as api, waiting(half, api.url) as wait:
        waits = [wait("t-0"), wait("t-1")]
        until_now(lambda: api.begun == [None], lambda: f"a stream of all: {api.begun}")
        api.end("t-0", "t-1")
        assert [each.result(60).result for each in waits] == ["t-0", "t-1"]


@either
def test_a_stream_that_was_away_for_longer_than_a_call_may_take_is_there_again(
    half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking_waits if half == "blocking" else waiting_waits, "_APART_SECONDS", 0.05)
    with serving(Api()) as api, waiting(half, api.url, timeout=0.2) as wait:
        api.refuses = True
        waits = [wait("t-0"), wait("t-1")]
        began = time.monotonic()
        until_now(lambda: api.refused > 3 and time.monotonic() - began > 0.5, "streams that are refused")
        api.refuses = False
        until_now(lambda: api.begun, "a stream")
        api.end("t-0", "t-1")
        assert [each.result(60).result for each in waits] == ["t-0", "t-1"]


@either
def test_all_who_wait_with_a_key_hear_at_once_that_it_was_revoked(half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("_APART_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(blocking_waits if half == "blocking" else waiting_waits, pause, 90.0)
    with serving(Api()) as api, waiting(half, api.url) as wait:
        waits = {each: wait(each) for each in ("t-0", "t-1", "t-2")}
        until_now(lambda: api.begun[-1:] == [frozenset(waits)], lambda: f"all to be named: {api.begun}")
        api.revoke()
        for each in waits.values():
            with pytest.raises(KeyRevoked):
                each.result(60)


@either
def test_those_who_want_to_look_at_once_look_with_one_request(half: str) -> None:
    with serving(Api()) as api, waiting(half, api.url) as wait:
        waits = [wait(f"t-{number}") for number in range(90)]
        names = frozenset(f"t-{number}" for number in range(90))
        until_now(lambda: names in api.begun, "a stream that names all")
        api.end(*(f"t-{number}" for number in range(90)))
        assert [each.result(60).result for each in waits] == [f"t-{number}" for number in range(90)]
    # One by one it would be two for each: when it comes, and when its task has ended.
    assert api.requests <= 90


@either
def test_a_task_that_a_list_has_not_whole_is_read_by_itself(half: str) -> None:
    with serving(Api()) as api, waiting(half, api.url) as wait:
        api.long = {"t-0", "t-2"}
        waits = {each: wait(each) for each in ("t-0", "t-1", "t-2", "t-3")}
        until_now(lambda: api.begun[-1:] == [frozenset(waits)], lambda: f"all to be named: {api.begun}")
        api.end(*waits)
        assert [each.result(60).result for each in waits.values()] == list(waits)
