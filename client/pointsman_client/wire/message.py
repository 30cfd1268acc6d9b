"""A call as a request, and an answer as what was asked for."""

import ssl
from collections.abc import Mapping
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.calling.call import EVENT_STREAM, Call
from pointsman_client.errors import Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.release import RELEASE
from pointsman_client.wire.cutting import MOST_BYTES

CHUNK = 64 * 1024
CONNECTIONS = 100
KEPT = 20
"""Connections that are kept open between calls."""
CLOSED = "the client was closed"
CLOSED_MEANWHILE = "the client was closed while this was under way: it may have been done"
NOTHING_MORE = 204
"""What a stream is answered with of which there is nothing more."""


def headers_of(place: Place) -> dict[str, str]:
    """Of every request."""
    own = {"User-Agent": f"pointsman-client/{RELEASE}"}
    return own if place.key is None else own | {"Authorization": f"Bearer {place.key}"}


def trusted(place: Place) -> ssl.SSLContext:
    """The certificates that are trusted."""
    # Loading the certificates of a system takes longer than a call, and plain HTTP needs none.
    if place.url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    from pointsman_client.wire.library import httpx

    return httpx.create_ssl_context()


def given(call: Call, headers: dict[str, str]) -> dict[str, Any]:
    """A call in the words of httpx."""
    own = {"Accept": call.accept, "Accept-Encoding": "gzip, deflate"} | (
        {} if call.body is None else {"Content-Type": "application/json"}
    )
    encoded = {name: value.encode() for name, value in (headers | own | dict(call.headers)).items()}
    return {"content": call.body, "headers": encoded}


def decodable(response: Any) -> None:
    """Raises ``Refused`` for an answer that is packed otherwise than was asked for: a short one might become too long
    at once.
    """
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", "gzip", "deflate"):
        raise Refused("what answers there is no Pointsman: its answer is packed", status=response.status_code)


def bounded(read: bytearray, status: int) -> None:
    """Raises ``Refused`` for an answer longer than any."""
    if len(read) > MOST_BYTES:
        raise Refused("what answers there is no Pointsman: its answer is longer than any", status=status)


def answer_of(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """What was asked for. Raises ``Refused``, and ``Unreachable`` for one that is not whole."""
    answer = Answer(status, {name.lower(): value for name, value in headers.items()}, body)
    if _is_cut(answer):
        raise Unreachable("what was answered broke off")
    if not 200 <= answer.status < 300:
        from pointsman_client.calling.refusing import refused

        raise refused(answer)
    return answer


def _is_cut(answer: Answer) -> bool:
    """Whether JSON broke off. Where an old proxy tells no length, the end of the connection looks like that of it."""
    told = answer.headers
    if "content-length" in told or "transfer-encoding" in told or "json" not in told.get("content-type", ""):
        return False
    try:
        answer.json()
    except ValueError:
        return True
    return False


def is_stream(response: Any) -> bool:
    """Whether an answer is a stream of events, or says that there are no more."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(response.status_code == NOTHING_MORE or (response.status_code == 200 and kind == EVENT_STREAM))


def refusal(response: Any, body: bytes) -> Exception:
    """What to raise for an answer that is no stream."""
    try:
        answer = answer_of(response.status_code, response.headers, body)
    except Exception as error:
        return error
    text = "what answers there is no Pointsman: its answer is no event stream"
    return Refused(text, status=answer.status, request_id=answer.request_id)
