import base64
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from pointsman import testing
from pointsman.errors import PermanentError
from pointsman.outbound.answers import HTTPStatusError, HTTPStatusPermanent
from pointsman.outbound.calls import RequestNotValid, ResponseTooLarge
from pointsman.outbound.connection import TargetRefused
from pointsman.shipped.tasks.http import RESPONSE_BYTES, HeaderRefused, http_request
from pointsman_contract.events import RESULT_BYTES as TASK_RESULT_BYTES
from pointsman_contract.message import HEADER
from tests.integration.tasks.conftest import TASK_ID, Configure, assert_refused, run
from tests.peers.http import HTTPPeer, Recorded, Reply

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def peer(http_peer: HTTPPeer, configure: Configure) -> HTTPPeer:
    """A server on this machine that may be called."""
    configure(allow_private_targets="true")
    return http_peer


def call(peer: HTTPPeer, path: str = "/", method: str = "GET", **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = run(http_request, method=method, url=peer.url + path, **arguments)
    return answer


def test_private_target_is_refused_unless_it_is_allowed(http_peer: HTTPPeer, configure: Configure) -> None:
    with pytest.raises(TargetRefused, match=r"POINTSMAN_ALLOW_PRIVATE_TARGETS=127\.0\.0\.1 for the workers lifts this"):
        call(http_peer)
    assert http_peer.requests == []


def test_answer_is_returned_with_some_headers(peer: HTTPPeer) -> None:
    peer.on("/", Reply(201, b"hello", {"ETag": '"7"', "Set-Cookie": "secret=1"}))
    answer = call(peer)
    assert (answer["status"], answer["body"], answer["body_encoding"]) == (201, "hello", "text")
    assert answer["headers"] == {"content-length": "5", "etag": '"7"'}


def test_body_and_json_are_sent_with_their_types(peer: HTTPPeer) -> None:
    peer.on("/", Reply())
    call(peer, method="POST", body="größe")
    call(peer, method="PUT", json={"a": [1, None]})
    call(peer, method="PATCH", body="<a/>", headers={"Content-Type": "text/xml"})
    text, json_, xml = peer.requests
    assert (text.method, text.body.decode(), text.headers["content-type"]) == (
        "POST",
        "größe",
        "text/plain; charset=utf-8",
    )
    assert (json_.method, json_.json(), json_.headers["content-type"]) == ("PUT", {"a": [1, None]}, "application/json")
    assert (xml.method, xml.headers["content-type"]) == ("PATCH", "text/xml")


def test_called_service_learns_the_task_and_its_attempt(peer: HTTPPeer) -> None:
    peer.on("/", Reply())
    call(peer, method="POST", attempt=2)
    sent = peer.requests[0].headers
    assert (sent["idempotency-key"], sent["pointsman-task"], sent["pointsman-attempt"]) == (TASK_ID, TASK_ID, "2")
    assert "traceparent" not in sent
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"].startswith("pointsman/")


def test_trace_of_the_submission_is_passed_on(peer: HTTPPeer) -> None:
    peer.on("/", Reply())
    http_request.push_request(**{HEADER: {"traceparent": TRACEPARENT}})
    try:
        http_request.run("GET", peer.url + "/")
    finally:
        http_request.pop_request()
    assert peer.requests[0].headers["traceparent"] == TRACEPARENT


def test_headers_of_the_caller_win(peer: HTTPPeer) -> None:
    peer.on("/", Reply())
    call(peer, headers={"idempotency-key": "order-17", "TraceParent": "mine", "User-Agent": "shop", "X-Sent": "yes"})
    sent = peer.requests[0].headers
    assert (sent["idempotency-key"], sent["traceparent"], sent["user-agent"]) == ("order-17", "mine", "shop")
    assert sent["x-sent"] == "yes"


def test_plain_call_has_no_task_to_name(peer: HTTPPeer) -> None:
    peer.on("/", Reply())
    http_request("GET", peer.url + "/")
    assert "idempotency-key" not in peer.requests[0].headers


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Upgrade"])
def test_header_of_the_connection_is_refused(peer: HTTPPeer, name: str) -> None:
    with pytest.raises(HeaderRefused, match=name.lower()):
        call(peer, headers={name: "x"})
    assert peer.requests == []


def test_body_and_json_together_fail_for_good(peer: HTTPPeer) -> None:
    with pytest.raises(PermanentError, match="not both"):
        call(peer, method="POST", body="a", json={})


def test_json_that_cannot_be_sent_fails_for_good(peer: HTTPPeer) -> None:
    with pytest.raises(RequestNotValid):
        http_request("POST", peer.url, json=float("nan"))


@pytest.mark.parametrize(("status", "expected"), [(404, [404, 410]), (302, [302]), (503, [503])])
def test_expected_status_is_a_success(peer: HTTPPeer, status: int, expected: list[int]) -> None:
    peer.on("/", Reply(status, b"known", {"Location": "/there"}))
    answer = call(peer, expected_status=expected)
    assert (answer["status"], answer["body"], answer["headers"]["location"]) == (status, "known", "/there")


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 409, 422, 501])
def test_status_that_stays_fails_for_good(peer: HTTPPeer, status: int) -> None:
    peer.on("/", Reply(status, b"because", {"Location": "/there"}))
    with pytest.raises(HTTPStatusPermanent, match=rf"GET 127\.0\.0\.1 answered {status} .*: because"):
        call(peer)
    assert [request.path for request in peer.requests] == ["/"]


def test_unexpected_success_fails_for_good(peer: HTTPPeer) -> None:
    peer.on("/", Reply(202))
    with pytest.raises(HTTPStatusPermanent):
        call(peer, expected_status=[200])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_status_that_may_change_fails_for_now(peer: HTTPPeer, status: int) -> None:
    peer.on("/", Reply(status, b"try later"))
    with pytest.raises(HTTPStatusError, match=f"{status} .*: try later"):
        call(peer)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("said", "least", "most"), [("30", 30, 33), ("999999", 3600, 3960)])
def test_retry_after_is_when_the_next_attempt_is_due(
    peer: HTTPPeer, status: int, said: str, least: float, most: float
) -> None:
    assert least <= retried_in(peer, status, said) <= most


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_may_be_a_moment(peer: HTTPPeer, status: int) -> None:
    # Made here and not at collection: the suite takes minutes.
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert 300 <= retried_in(peer, status, said) <= 660


def retried_in(peer: HTTPPeer, status: int, retry_after: str) -> float:
    peer.on("/", Reply(status, b"busy", {"Retry-After": retry_after}))
    ran = testing.run(http_request, "GET", peer.url + "/")
    assert isinstance(ran.raised, HTTPStatusError)
    assert ran.retry_in_seconds is not None
    return ran.retry_in_seconds


def test_spent_budget_is_the_end_whatever_retry_after_says(peer: HTTPPeer) -> None:
    peer.on("/", Reply(503, b"busy", {"Retry-After": "1"}))
    ran = testing.run_attempt(http_request, ["GET", peer.url + "/"], attempt=2, max_attempts=2)
    assert (ran.state, type(ran.raised)) == ("failed", HTTPStatusError)


def test_long_error_page_is_cut(peer: HTTPPeer) -> None:
    peer.on("/", Reply(500, b"x" * 1_000_000))
    with pytest.raises(HTTPStatusError) as caught:
        call(peer)
    assert len(str(caught.value)) < 600


def test_answer_over_the_limit_fails_for_good(peer: HTTPPeer) -> None:
    peer.on("/large", Reply(200, b"x" * (RESPONSE_BYTES + 1)))
    peer.on("/small", Reply(200, b"x" * 11))
    with pytest.raises(ResponseTooLarge, match=str(RESPONSE_BYTES)):
        call(peer, "/large")
    with pytest.raises(ResponseTooLarge):
        call(peer, "/small", max_response_bytes=10)
    assert call(peer, "/small", max_response_bytes=11)["body"] == "x" * 11


def test_answer_that_does_not_say_its_length_is_limited_too(peer: HTTPPeer) -> None:
    chunks = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    peer.on("/", Reply(200, chunks * 9 + b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}))
    with pytest.raises(ResponseTooLarge, match="longer than"):
        call(peer)


def test_head_has_no_body_whatever_its_length(peer: HTTPPeer) -> None:
    peer.on("/", Reply(200, b"", length=10_000_000))
    answer = call(peer, method="HEAD")
    assert (answer["body"], answer["headers"]["content-length"]) == ("", "10000000")


def test_binary_answer_is_base64(peer: HTTPPeer) -> None:
    content = bytes(range(256)) * (RESPONSE_BYTES // 256)
    peer.on("/", Reply(200, content, {"Content-Type": "image/png"}))
    answer = call(peer)
    assert answer["body_encoding"] == "base64"
    assert base64.b64decode(answer["body"]) == content


@pytest.mark.parametrize("content", [b"\x01" * RESPONSE_BYTES, b'"' * RESPONSE_BYTES, "€".encode() * 10_922])
def test_largest_text_fits_a_result(peer: HTTPPeer, content: bytes) -> None:
    peer.on("/", Reply(200, content))
    answer = call(peer)
    assert len(json.dumps(answer, ensure_ascii=False).encode()) < TASK_RESULT_BYTES
    body = base64.b64decode(answer["body"]) if answer["body_encoding"] == "base64" else answer["body"].encode()
    assert body == content


def test_character_set_of_the_answer_is_read(peer: HTTPPeer) -> None:
    peer.on("/", Reply(200, "größe".encode("latin-1"), {"Content-Type": 'text/plain; charset="ISO-8859-1"; x=y'}))
    assert call(peer)["body"] == "größe"
    peer.on("/", Reply(200, b"text", {"Content-Type": "text/plain; charset=unicode_escape"}))
    assert call(peer)["body_encoding"] == "base64"


def test_compressed_answer_is_not_unpacked(peer: HTTPPeer) -> None:
    peer.on("/", Reply(200, b"plain after all", {"Content-Encoding": "gzip"}))
    answer = call(peer)
    assert (answer["body_encoding"], answer["headers"]["content-encoding"]) == ("base64", "gzip")


def test_very_long_header_is_left_out(peer: HTTPPeer) -> None:
    peer.on("/", Reply(200, b"", {"ETag": "x" * 60_000}))
    assert "etag" not in call(peer)["headers"]


def test_limits_of_time_are_the_callers(peer: HTTPPeer) -> None:
    def slow(_: Recorded) -> Reply:
        peer.closed.wait(2)
        return Reply()

    peer.on("/", slow)
    with pytest.raises(httpx.ReadTimeout):
        call(peer, read_timeout_seconds=0.2)


BAD: list[dict[str, Any]] = [
    {"url": "ftp://example.org/"},
    {"url": "https://example.org/" + "x" * 8000},
    {"method": "TRACE"},
    {"method": "get"},
    {"headers": {"a b": "x"}},
    {"headers": {"": "x"}},
    {"headers": {"a": "x\r\ny: z"}},
    {"headers": {"a": "ü"}},
    {"headers": {f"a{number}": "x" for number in range(51)}},
    {"expected_status": []},
    {"expected_status": [100]},
    {"expected_status": [600]},
    {"read_timeout_seconds": 0},
    {"connect_timeout_seconds": 41},
    {"total_timeout_seconds": 46},
    {"max_response_bytes": RESPONSE_BYTES + 1},
    {"unknown": 1},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:60])
def test_bad_argument_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(http_request, **({"method": "GET", "url": "https://example.org/"} | bad))
