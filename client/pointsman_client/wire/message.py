"""A call as a request, and an answer as what was asked for."""

import ssl
from collections.abc import Mapping
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.errors import Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.release import RELEASE

_MAX_BYTES = 64 * 1024 * 1024
"""Of one answer."""
CHUNK = 64 * 1024
CONNECTIONS = 100
KEPT = 20
"""Connections that are kept open between calls."""
STREAMED = (200, 204)
"""What a stream is answered with: 204, that there is nothing more of it."""


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
    own = {"Accept": call.accept} | ({} if call.body is None else {"Content-Type": "application/json"})
    encoded = {name: value.encode() for name, value in (headers | own | dict(call.headers)).items()}
    return {"content": call.body, "headers": encoded}


def bounded(read: bytearray, status: int) -> None:
    """Raises ``Refused`` for an answer longer than any."""
    if len(read) > _MAX_BYTES:
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


def refusal(response: Any, body: bytes) -> Exception:
    """What to raise for an answer that is no stream."""
    try:
        answer_of(response.status_code, response.headers, body)
    except Exception as error:
        return error
    return Unreachable("what was answered is no event stream")
