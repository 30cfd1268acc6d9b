import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from pointsman_service.api.answers.answer import AT_ONCE, Answer
from pointsman_service.front.bounds import Bounds
from pointsman_service.front.connection import Connection
from pointsman_service.serving import Server, ServerConfig
from tests.stand.waiting import until


class Transport(asyncio.Transport):
    """What a client reads, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 8000)})
        self.said = b""
        self.closed = self.paused = False

    def write(self, data: Any) -> None:
        self.said += bytes(data)

    def write_eof(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Slow:
    """An application that answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    def close_streams(self) -> None:
        return None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.may_answer.wait()
        length = (b"content-length", b"0")
        await send({"type": "http.response.start", "status": 204, "headers": [length]})
        await send({"type": "http.response.body", "body": b""})


def serving(app: Slow) -> tuple[Server, Callable[[], Connection]]:
    config = ServerConfig(app, http=Connection, ws="none", log_config=None, access_log=False)
    config.bounds = Bounds()
    config.load()
    server = Server(config, app)
    return server, lambda: Connection(config, server.server_state, {}, asyncio.get_running_loop())


def connected(app: Slow, made: Callable[[], Connection] | None = None) -> tuple[Connection, Transport]:
    connection = (made or serving(app)[1])()
    connection.connection_made(transport := Transport())
    return connection, transport


REQUEST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(("sent", "answers"), [([REQUEST * 100], 100), ([REQUEST, REQUEST + REQUEST[:20]], 2)])
async def test_time_that_a_request_waits_behind_others_is_not_its_clients(sent: list[bytes], answers: int) -> None:
    app = Slow()
    connection, transport = connected(app)
    for part in sent:
        connection.data_received(part)
    connection.look_after(asyncio.get_running_loop().time() + 1000)
    assert not transport.closed
    app.may_answer.set()
    while transport.said.count(b"HTTP/1.1 204 ") < answers:
        await asyncio.wait([asyncio.create_task(app.may_answer.wait())])
        connection.look_after(asyncio.get_running_loop().time())
    assert not transport.closed


async def test_half_a_head_that_nothing_keeps_waiting_is_its_clients_time() -> None:
    connection, transport = connected(Slow())
    connection.data_received(REQUEST[:20])
    connection.look_after(asyncio.get_running_loop().time() + 1000)
    assert transport.said.startswith(b"HTTP/1.1 408 ")


LOOK_SECONDS = 0.5


async def looked(server: Server, began: float, seconds: float) -> float:
    """Look on time until so many seconds are over; the last moment."""
    for number in range(int(seconds / LOOK_SECONDS)):
        await server.look(lambda: began + number * LOOK_SECONDS)  # noqa: B023
    return began + (number + 1) * LOOK_SECONDS


def ends(transport: Transport, said: int) -> bool:
    """Whether it was closed, or refused in what came after so many bytes."""
    return transport.closed or b" 408 " in transport.said[said:]


HALVES = {
    "nothing": b"",
    "half a head": REQUEST[:20],
    "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    "an answered request": REQUEST,
}


@pytest.mark.parametrize("what", HALVES)
async def test_time_in_which_the_process_stood_still_is_not_its_clients(what: str) -> None:
    app = Slow()
    server, made = serving(app)
    connection, transport = connected(app, made)
    if HALVES[what]:
        connection.data_received(HALVES[what])
    patience = 15
    if what == "an answered request":
        patience = 75
        app.may_answer.set()
        await ended(connection)
    now = await looked(server, asyncio.get_running_loop().time(), patience - 5)
    await server.look(lambda: now + 1000)
    assert not transport.closed
    said = len(transport.said)
    await looked(server, now + 1000, 10)
    assert ends(transport, said), "it takes too long by itself"


async def test_what_came_while_the_process_stood_still_is_read_before_its_client_is_judged() -> None:
    app = Slow()
    app.may_answer.set()
    server, made = serving(app)
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    async with listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())

        async def is_there() -> bool:
            return bool(server.server_state.connections)

        await until(is_there, "the connection to be there")
        now = await looked(server, asyncio.get_running_loop().time(), 15)
        # Not through the loop: it is in the buffer of the other end before anything else happens.
        assert os.write(writer.get_extra_info("socket").fileno(), REQUEST) == len(REQUEST)
        await server.look(lambda: now + 1000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        writer.close()


BEGUN = b"POST /v1/tasks%20x HTTP/1.1\r\nHost: a\r\nX-Request-ID: order-7\r\nContent-Length: 9\r\n\r\n{"
REFUSED = {
    "400": b"HELO example.org\r\n\r\n",
    "408": BEGUN,
    "414": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "431": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 120 + b"\r\n",
}


@pytest.mark.parametrize("status", REFUSED)
async def test_a_refusal_of_the_connection_is_an_answer_like_all_others(status: str) -> None:
    class Named(Slow):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["request_id"] = dict(scope["headers"])[b"x-request-id"]
            await super().__call__(scope, receive, send)

    connection, transport = connected(Named())
    connection.data_received(REFUSED[status])
    # The application sees its request.
    await asyncio.sleep(0)
    if status == "408":
        connection.look_after(asyncio.get_running_loop().time() + 1000)

    head, _, body = transport.said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ") for line in lines)
    assert first.split()[1] == status
    assert fields["content-type"] == "application/problem+json"
    assert (int(fields["content-length"]), fields["connection"]) == (len(body), "close")
    problem = json.loads(body)
    assert problem.keys() >= {"type", "title", "status", "detail"}
    assert str(problem["status"]) == status
    if status == "408":
        assert (fields["x-request-id"], problem["instance"]) == ("order-7", "/v1/tasks%20x")
    else:
        assert len(fields["x-request-id"]) == 20


NAMED = b"X-Request-ID: order-7\r\nHost: a\r\n"
CHUNKED = b"POST /v1/tasks HTTP/1.1\r\n" + NAMED + b"Transfer-Encoding: chunked\r\n\r\n"
NAMED_AND_REFUSED = {
    "a field that is none": (b"GET / HTTP/1.1\r\n" + NAMED + b"no field\r\n\r\n", "400"),
    "half a head": (b"GET / HTTP/1.1\r\n" + NAMED, "408"),
    "a long path": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + NAMED + b"\r\n", "414"),
    "many fields": (b"GET / HTTP/1.1\r\n" + NAMED + b"X: y\r\n" * 120 + b"\r\n", "431"),
    "a chunk that is none": (CHUNKED + b"zz\r\n", "400"),
    "a chunk's long extension": (CHUNKED + b"1;" + b"x" * 40_000, "431"),
}


@pytest.mark.parametrize("what", NAMED_AND_REFUSED)
async def test_a_refusal_of_the_connection_has_the_name_that_its_request_brought(what: str) -> None:
    sent, status = NAMED_AND_REFUSED[what]
    connection, transport = connected(Slow())
    connection.data_received(sent)
    connection.look_after(asyncio.get_running_loop().time() + 1000)
    head = transport.said.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert (head[0].split()[1], "x-request-id: order-7" in head) == (status, True)


@pytest.mark.parametrize(
    "line", ["GET http://localhost", "GET http://[::1", "GET http://a:99999/livez", "CONNECT a:80"]
)
async def test_a_target_that_cannot_be_read_is_answered(line: str) -> None:
    connection, transport = connected(Slow())
    connection.data_received(f"{line} HTTP/1.1\r\n".encode() + NAMED + b"\r\n")
    assert transport.said.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: order-7\r\n" in transport.said


ASKED = b"POST /v1/tasks HTTP/1.%d\r\nHost: a\r\nContent-Length: 2\r\n%b\r\n{}"
FIELDS = [(b"content-type", b"application/json"), (b"location", b"/v1/tasks/7")]


class AtOnceOrNot(Slow):
    """Answers as the hot route does, or by two messages."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self._at_once = at_once
        self.wrote: list[bool] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.may_answer.wait()
        if self._at_once:
            self.wrote.append(scope[AT_ONCE](202, FIELDS, b"{}"))
        if not any(self.wrote):
            await Answer(202, FIELDS, b"{}").send_to(send)


async def ended(connection: Connection) -> None:
    while connection.tasks:
        await asyncio.wait(connection.tasks)


async def said_to(sent: bytes, *, at_once: bool, gone: bool = False) -> tuple[Transport, AtOnceOrNot]:
    app = AtOnceOrNot(at_once=at_once)
    connection, transport = connected(app)
    connection.data_received(sent)
    if gone:
        connection.connection_lost(None)
    app.may_answer.set()
    await ended(connection)
    return transport, app


@pytest.mark.parametrize("sent", [ASKED % (1, b""), ASKED % (0, b""), ASKED % (1, b"Connection: close\r\n")])
async def test_an_answer_at_once_is_the_one_of_two_messages(sent: bytes) -> None:
    at_once, app = await said_to(sent, at_once=True)
    usual, _ = await said_to(sent, at_once=False)
    assert app.wrote == [True]
    assert at_once.said.startswith(b"HTTP/1.1 202 ")
    assert at_once.said.endswith(b"\r\n\r\n{}")
    assert sorted(at_once.said.split(b"\r\n")) == sorted(usual.said.split(b"\r\n"))
    assert at_once.closed == usual.closed


async def test_an_answer_is_not_written_at_once_while_earlier_ones_are_not_read() -> None:
    app = AtOnceOrNot(at_once=True)
    connection, transport = connected(app)
    connection.pause_writing()
    connection.data_received(ASKED % (1, b""))
    app.may_answer.set()
    await asyncio.wait(connection.tasks, timeout=0)
    assert transport.said == b""
    connection.resume_writing()
    await ended(connection)
    assert app.wrote == [False]
    assert transport.said.endswith(b"{}")


async def test_requests_behind_one_another_are_each_answered_at_once() -> None:
    transport, app = await said_to((ASKED % (1, b"")) * 3, at_once=True)
    assert app.wrote == [True] * 3
    assert transport.said.count(b"HTTP/1.1 202 ") == 3


async def test_nothing_is_written_at_once_to_a_client_that_is_gone() -> None:
    transport, app = await said_to(ASKED % (1, b""), at_once=True, gone=True)
    assert app.wrote == [True]
    assert transport.said == b""
