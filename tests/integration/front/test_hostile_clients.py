"""Whatever clients do to their connections, the API stays small and answers the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from tests.integration.front.conftest import FULL, Api, Watch
from tests.stand.waiting import until

pytestmark = pytest.mark.timeout(300)

MB = 1_000_000
_CLIENTS = 50 if FULL else 8
_MOST_GROWN = 200 * MB
_WORST_SECONDS = 10.0
"""For a busy machine; what hangs, hangs for longer."""
_HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


async def ended(api: Api, parts: Iterator[bytes], most: int) -> tuple[bytes, int]:
    """Send ``parts`` until the other end closes; what it said, and how much it took. Fails after ``most`` bytes."""
    reader, writer = await api.connect()
    sent = 0
    try:
        said = asyncio.create_task(_said(reader))
        for part in parts:
            if said.done():
                break
            writer.write(part)
            sent += len(part)
            assert sent < most, "it is still read"
            try:
                await writer.drain()
            except OSError:
                break
        return await said, sent
    finally:
        writer.transport.abort()


async def _said(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except OSError:
        return b""


def held(watch: Watch) -> None:
    assert watch.submitted > 0
    assert watch.grown_bytes < _MOST_GROWN
    assert watch.worst_seconds < _WORST_SECONDS


def parts_of(first: bytes, *rest: bytes) -> Callable[[], Iterator[bytes]]:
    """An endless request."""

    def endless() -> Iterator[bytes]:
        yield first
        for _ in repeat(None):
            yield from rest

    return endless


_PIECE = b"a" * 65_536
HEADS = {
    "a header value": (parts_of(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", _PIECE), b" 431 "),
    "a header name": (parts_of(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX", _PIECE), b" 431 "),
    "header fields": (parts_of(b"GET /livez HTTP/1.1\r\n", b"X: y\r\n" * 1000), b" 431 "),
    "a path": (parts_of(b"GET /", _PIECE), b" 431 "),
    "empty lines": (parts_of(b"", b"\r\n" * 1000), b" 431 "),
    "a chunk's extension": (parts_of(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", _PIECE), b" 431 "),
    "trailers": (
        parts_of(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n" * 1000), b"",
    ),
}  # fmt: skip


@pytest.mark.parametrize("names", [[name] for name in HEADS] if FULL else [list(HEADS)])
async def test_an_endless_head_is_refused_and_not_kept(api: Api, names: list[str]) -> None:
    async def attack(name: str) -> tuple[str, bytes]:
        said, _ = await ended(api, HEADS[name][0](), 32 * MB)
        return name, said

    async with api.watched() as watch:
        ends = await asyncio.gather(*(attack(name) for name in names for _ in range(_CLIENTS)))

    held(watch)
    for name, said in ends:
        assert HEADS[name][1] in said.partition(b"\r\n")[0], name


async def test_a_path_over_the_limit_is_414_and_a_head_over_it_431(api: Api) -> None:
    long_path = await api.http.get("/v1/tasks?cursor=" + "x" * 9000)
    long_head = await api.http.get("/livez", headers={"X": "y" * 40_000})
    many = await api.http.get("/livez", headers=[("X", "y")] * 120)

    assert [answer.status_code for answer in (long_path, long_head, many)] == [414, 431, 431]
    for answer in (long_path, long_head, many):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
    assert (await api.http.get("/livez", headers={"X": "y" * 20_000})).status_code == 200


async def test_what_is_not_http_is_400_with_a_problem(api: Api) -> None:
    said, _ = await ended(api, iter([b"HELO example.org\r\n\r\n"]), MB)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in said


async def test_half_a_request_does_not_keep_its_connection(api: Api) -> None:
    begun = {
        b"": b"",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n": b"HTTP/1.1 200 ",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ": b"HTTP/1.1 408 ",
        _HEAD + b"Content-Length: 100\r\n\r\n{": b"HTTP/1.1 408 ",
    }
    async with api.watched() as watch:
        attacks = [(part, ended(api, iter([part]), MB)) for part in begun for _ in range(_CLIENTS)]
        ends = await asyncio.gather(*(attack for _, attack in attacks))

    held(watch)
    for (part, _), (said, _) in zip(attacks, ends, strict=True):
        assert said.startswith(begun[part]), part


async def test_a_head_that_trickles_does_not_keep_its_connection(api: Api) -> None:
    reader, writer = await api.connect()
    said = asyncio.create_task(_said(reader))
    writer.write(b"GET /livez HTTP/1.1\r\n")
    while not said.done():
        writer.write(b"X: y\r\n")
        await asyncio.wait([said], timeout=0.1)
    writer.transport.abort()
    assert (await said).startswith(b"HTTP/1.1 408 ")


CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"POST /v1/tasks",
        b"POST /v1/tasks/batch",
        b"GET /livez",
        b"GET /v1/breakers/events",
        b"POST /v1/queues/email/resume",
        b"POST /nowhere",
    ],
)
async def test_an_endless_body_is_not_read_on(api: Api, line: bytes) -> None:
    head = line + _HEAD.removeprefix(b"POST /v1/tasks") + b"Transfer-Encoding: chunked\r\n\r\n"
    async with api.watched() as watch:
        await asyncio.gather(*(ended(api, parts_of(head, CHUNK)(), 40 * MB) for _ in range(min(_CLIENTS, 20))))
    held(watch)


async def test_a_body_that_was_answered_may_end_and_its_connection_goes_on(api: Api) -> None:
    answers = [
        await api.http.post("/v1/tasks", content=b" " * 2 * MB, headers={"Content-Type": "application/json"}),
        await api.http.get("/livez"),
    ]
    assert [answer.status_code for answer in answers] == [413, 200]


@asynccontextmanager
async def pipelined(api: Api, path: bytes, clients: int, requests: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Clients that ask again and again and read nothing."""
    burst = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path * requests
    writers = []
    for _ in range(clients):
        _, writer = await api.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(burst)
        writers.append(writer)
    try:
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


async def test_clients_that_pipeline_and_read_nothing_do_not_hold_up_others(api: Api) -> None:
    await api.http.post("/v1/tasks/batch", json={"tasks": [{"task_type": "noop"}] * 200})
    async with api.watched() as watch, pipelined(api, b"/v1/tasks?limit=200", 50, 5000):

        async def enough() -> bool:
            return watch.submitted >= 30

        await until(enough, "30 normal submissions")
    held(watch)


async def test_pipelined_requests_are_all_answered_in_their_order(api: Api) -> None:
    paths = [b"/nowhere/%d" % number if number % 2 else b"/livez" for number in range(600)]
    requests = b"".join(
        b"GET " + (path % n if b"%d" in path else path) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for n, path in enumerate(paths)
    )
    reader, writer = await api.connect()
    writer.write(requests)
    for number, _ in enumerate(paths):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if number % 2:
            assert paths[number] in body
        else:
            assert head.startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_connections_that_say_nothing_do_not_shut_others_out(api: Api) -> None:
    writers = [(await api.connect())[1] for _ in range(1100 if FULL else 120)]
    try:
        async with api.watched() as watch:

            async def enough() -> bool:
                return watch.submitted >= 20

            await until(enough, "20 normal submissions")
        held(watch)
    finally:
        for writer in writers:
            writer.transport.abort()

    async def told() -> bool:
        return "too_many_connections" in api.log.read_text()

    await until(told, "the log to say so")


_BATCH = 8 * 1024 * 1024 - 100
BATCHES: dict[str, Callable[[], bytes]] = {
    "empty lists": lambda: b'{"tasks":[' + b",".join([b"[]"] * (_BATCH // 3)) + b"]}",
    "numbers": lambda: b'{"tasks":[' + b",".join([b"1.5"] * (_BATCH // 4)) + b"]}",
    "texts": lambda: b'{"tasks":[' + b",".join(b'"%05d"' % (number % 90_000) for number in range(_BATCH // 8)) + b"]}",
    "nests": lambda: b'{"tasks":[' + b",".join([b"[" * 30 + b"]" * 30] * (_BATCH // 61)) + b"]}",
    "fields": lambda: b'{"tasks":[{' + b",".join(b'"%07d":{}' % number for number in range(_BATCH // 13)) + b"}]}",
    "one NaN": lambda: b'{"tasks":[' + b",".join([b"{}"] * (_BATCH // 3 - 1)) + b",NaN]}",
    "a million values": lambda: b'{"tasks":[{"task_type":"noop","args":['
    + b",".join([b"1234.56"] * 999_000) + b"]}]}",
    "half a million names": lambda: b'{"tasks":[{"task_type":"noop","kwargs":{'
    + b",".join(b'"%09d":1' % number for number in range(495_000)) + b"}}]}",
    "a million values and a NaN": lambda: b'{"tasks":[{"task_type":"noop","args":['
    + b",".join([b"1234.56"] * 999_000) + b",NaN]}]}",
    "escaped colons": lambda: b'{"tasks":[{"task_type":"noop","args":["' + b"\\u003a" * (_BATCH // 6 - 10) + b'"]}]}',
    "one long task": lambda: b'{"tasks":[{"task_type":"noop","args":["' + b"x" * (_BATCH - 50) + b'"]}]}',
    "many long tasks": lambda: b'{"tasks":[' + b",".join(
        [b'{"task_type":"noop","args":["' + b"x" * 200_000 + b'"]}'] * (_BATCH // 201_000)) + b"]}",
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES if FULL else ["nests", "one NaN"])
async def test_batches_of_awkward_items_at_once_stay_small(api: Api, name: str) -> None:
    batch = BATCHES[name]()

    async def send() -> int:
        answer = await api.http.post(
            "/v1/tasks/batch", content=batch, headers={"Content-Type": "application/json"}, timeout=60
        )
        return answer.status_code

    async with api.watched() as watch:
        found = await asyncio.gather(*(send() for _ in range(10 if FULL else 3)))
    held(watch)
    assert set(found) <= {202, 422, 503}
    assert set(found) != {503}


async def test_another_name_is_not_answered_and_another_site_does_not_act(api: Api) -> None:
    renamed = await api.http.get("/v1/tasks", headers={"Host": "evil.example"})
    act = await api.http.post("/v1/queues/email/resume", headers={"Origin": "http://evil.example"})
    own = await api.http.post("/v1/queues/email/resume")

    assert [answer.status_code for answer in (renamed, act, own)] == [421, 403, 200]
    assert renamed.json()["type"] == "urn:pointsman:problem:unknown-host"
    assert act.json()["type"] == "urn:pointsman:problem:cross-site"


async def test_head_of_a_real_server_has_the_length_and_no_body(api: Api) -> None:
    reader, writer = await api.connect()
    writer.write(
        b"HEAD /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nHEAD /v1/breakers/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Connection: close\r\n\r\n"
    )
    said = await _said(reader)
    writer.close()
    first, second, rest = said.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert int(first.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) > 0
    assert second.startswith(b"HTTP/1.1 200 ")
    assert rest == b""
