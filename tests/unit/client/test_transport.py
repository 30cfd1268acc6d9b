import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from pointsman_client.answer import JsonObject
from pointsman_client.calling.call import Call
from pointsman_client.calling.documents import document_of
from pointsman_client.errors import Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.transport import Transport
from pointsman_client.wire.plain import PlainWire
from tests.stand.waiting import SLOWEST
from tests.unit.client.served import served, talking

Get = Callable[..., JsonObject]
SECONDS = 0.3
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def watching(place: Place, path: str, seconds: float = 5.0) -> JsonObject:
    """As who stays asks."""
    with Transport(place, seconds) as transport:
        return transport.get(path)


def looking(place: Place, path: str, seconds: float = 5.0) -> JsonObject:
    """As who looks once asks."""
    wire = PlainWire(place)
    try:
        return dict(document_of(wire.send(Call(path, "GET", path), seconds)))
    finally:
        wire.close()


both = pytest.mark.parametrize("get", [watching, looking])


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips(first: bytes) -> object:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.02):
            connection.sendall(b"x")

    return talk


@both
@pytest.mark.parametrize("talk", [silent, drips(b"HTTP/1.1 200 OK\r\nX-Long: "), drips(HEAD)])
def test_a_server_that_is_silent_or_drips_is_given_up_in_time(talk: object, get: Get) -> None:
    with talking(talk) as place:  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer in time"):
            get(place, "/v1/now", SECONDS)
        assert SECONDS * 0.9 <= time.monotonic() - began < SECONDS + SLOWEST * 0.5


@both
def test_a_closed_port_is_told_as_refused(get: Get) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused"):
        get(Place(f"http://127.0.0.1:{port}"), "/v1/now")


@both
@pytest.mark.parametrize("said", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"])
def test_what_is_no_whole_answer_is_unreachable(said: bytes, get: Get) -> None:
    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with talking(talk) as place, pytest.raises(Unreachable, match="does not speak HTTP, or broke off"):
        get(place, "/v1/now")


@both
def test_a_page_that_is_no_json_is_no_pointsman(get: Get) -> None:
    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

    with talking(talk) as place, pytest.raises(Refused, match="no Pointsman"):
        get(place, "/")


def test_a_kept_connection_that_ended_meanwhile_is_no_failure() -> None:
    with served() as api, Transport(api.place) as transport:
        api.answer("/v1/now", {"n": 1})
        assert transport.get("/v1/now") == {"n": 1}
        transport.hang_up()
        assert transport.get("/v1/now") == {"n": 1}


def test_an_act_is_sent_once_though_its_answer_is_lost() -> None:
    asked = []

    def talk(connection: socket.socket, _: threading.Event) -> None:
        asked.append(connection.recv(65536))

    with talking(talk) as place, Transport(place) as transport, pytest.raises(Unreachable):
        transport.post("/v1/queues/email/pause", {"reason": "r"})
    assert len(asked) == 1


@both
def test_a_refusal_says_what_the_problem_says(get: Get) -> None:
    with served() as api:
        problem = {
            "type": "urn:pointsman:problem:database-away",
            "detail": "PostgreSQL cannot be reached.",
            "errors": [{"pointer": "/reason", "detail": "is missing"}],
        }
        api.answer("/v1/tasks", problem, status=503)
        with pytest.raises(Refused) as refused:
            get(api.place, "/v1/tasks")
    assert (refused.value.status, refused.value.problem) == (503, "database-away")
    assert str(refused.value) == "PostgreSQL cannot be reached. /reason: is missing"


@both
def test_the_key_is_in_a_header_and_nowhere_else(get: Get) -> None:
    with served(key="pm_secret") as api:
        api.answer("/below/v1/now", {"n": 1})
        assert get(Place(f"{api.place.url}/below", api.place.key), "/v1/now") == {"n": 1}
        ((_, path, headers, _),) = api.asked
        assert headers["Authorization"] == "Bearer pm_secret"
        assert "secret" not in path + repr(api.place)


def test_one_look_waits_for_no_library() -> None:
    code = """
import sys
from pointsman_client.command import main
status = main(["top", "--json", "--url", sys.argv[1]])
print(status, sorted({"anyio", "httpx", "httpx2", "rich", "textual"} & set(sys.modules)))
"""
    with served() as api:
        api.answer("/v1/now", {"verdict": "healthy", "text": "\x1b[2J é"})
        api.answer("/v1/workers", {"items": []})
        said = subprocess.run([sys.executable, "-c", code, api.place.url], capture_output=True, check=True).stdout
    look, status = said.decode("ascii").splitlines()
    assert json.loads(look) == {
        "url": api.place.url,
        "verdict": "healthy",
        "now": {"verdict": "healthy", "text": "\x1b[2J é"},
        "workers": [],
    }
    assert status == "0 []"


def test_events_come_by_name_and_end_when_the_server_ends_them() -> None:
    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(STREAM + b": hello\n\nevent: task\ndata: {}\nid: 4\n\ndata: {}\n\n")

    with talking(talk) as place, Transport(place) as transport:
        assert list(transport.events("/v1/tasks/events", 5.0)) == ["", "", "task", "message"]


def test_a_stream_that_falls_silent_is_given_up() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(STREAM)
        over.wait()

    with talking(talk) as place, Transport(place) as transport, pytest.raises(Unreachable, match="no answer in time"):
        list(transport.events("/v1/tasks/events", SECONDS))


def test_a_stream_that_another_thread_hangs_up_ends() -> None:
    with talking(drips(STREAM)) as place, Transport(place) as transport:  # type: ignore[arg-type]
        events = transport.events("/v1/tasks/events", 60.0)
        assert next(events) == ""
        timer = threading.Timer(0.05, transport.hang_up)
        timer.start()
        began = time.monotonic()
        with suppress(Unreachable):
            assert list(events) == []
        assert time.monotonic() - began < 10
        timer.join()
