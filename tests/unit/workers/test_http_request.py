from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from workers.errors import PermanentError
from workers.tasks.http import RESPONSE_BYTES, HTTPStatusError, ResponseTooLarge, UnsupportedURL, http_request


class Peer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/large":
            self._answer(200, b"x" * (RESPONSE_BYTES + 1))
        elif self.path == "/moved":
            self._answer(302, b"", location="/")
        elif self.path == "/broken":
            self._answer(503, b"try later")
        else:
            self._answer(200, self.headers.get("x-sent", "nothing").encode())

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self._answer(201, self.rfile.read(length))

    def _answer(self, status: int, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("set-cookie", "secret=1")
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def peer() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Peer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_answer_is_returned_with_some_headers(peer: str) -> None:
    answer = http_request("GET", peer, headers={"x-sent": "hello"})
    assert (answer["status"], answer["body"]) == (200, "hello")
    assert answer["headers"]["content-length"] == "5"
    assert "set-cookie" not in answer["headers"]


def test_json_is_sent(peer: str) -> None:
    assert http_request("POST", peer, json={"a": 1})["body"] == '{"a":1}'


def test_body_is_sent(peer: str) -> None:
    assert http_request("POST", peer, body="plain")["body"] == "plain"


def test_answer_that_is_not_2xx_fails_with_its_status(peer: str) -> None:
    with pytest.raises(HTTPStatusError, match="503 Service Unavailable: try later"):
        http_request("GET", f"{peer}/broken")


def test_redirect_is_not_followed(peer: str) -> None:
    with pytest.raises(HTTPStatusError, match="302"):
        http_request("GET", f"{peer}/moved")


def test_answer_over_the_limit_fails_for_good(peer: str) -> None:
    with pytest.raises(ResponseTooLarge):
        http_request("GET", f"{peer}/large")


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "host/path", "http://"])
def test_url_of_another_scheme_fails_for_good(url: str) -> None:
    with pytest.raises(UnsupportedURL):
        http_request("GET", url)


def test_body_and_json_together_fail_for_good(peer: str) -> None:
    with pytest.raises(PermanentError, match="not both"):
        http_request("POST", peer, body="a", json={})


def test_peer_that_is_away_fails() -> None:
    with pytest.raises(httpx.ConnectError):
        http_request("GET", "http://127.0.0.1:1/", timeout_seconds=2)
