"""Forms: their bodies, and the token that shows that one of our pages made them.

Browsers say whose page sends a form, and ``front/door.py`` goes by that. The token is the second lock: it is made of a
random cookie that no other site can read, so it holds for any process, and none of them keeps it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pointsman_service.api.requests.origin import is_secure
from pointsman_service.dashboard.session import cookies_in
from pointsman_service.errors import BadRequest, StaleForm, UnsupportedMediaType

COOKIE = "pointsman_form"
FIELD = "token"
_BYTES = 16
_MOST_FIELDS = 200
_MEDIA_TYPE = b"application/x-www-form-urlencoded"


def new_secret() -> str:
    """The value of a new cookie."""
    return secrets.token_hex(_BYTES)


def token_of(secret: str) -> str:
    """A token for the holder of this cookie; each is another, or compression would give it away."""
    pad = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(pad + _mixed(pad, _proof(secret))).decode()


def check_token(token: str, secret: str | None) -> None:
    """Raises ``StaleForm`` for a token that was not made for this cookie."""
    try:
        given = base64.urlsafe_b64decode(token)
    except (ValueError, binascii.Error) as error:
        raise StaleForm from error
    pad, proof = given[:_BYTES], given[_BYTES:]
    if not secret or len(proof) != _BYTES or not hmac.compare_digest(_mixed(pad, proof), _proof(secret)):
        raise StaleForm


async def read_form(scope: Any, receive: Any) -> dict[str, str]:
    """The fields of a form; of one given twice the last. What stands before us has bounded the body.

    Raises ``UnsupportedMediaType`` and ``BadRequest``.
    """
    content_type = dict(scope["headers"]).get(b"content-type", b"")
    if content_type.partition(b";")[0].strip().lower() != _MEDIA_TYPE:
        raise UnsupportedMediaType("A form is sent as application/x-www-form-urlencoded.")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The form did not come whole.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise BadRequest("This is no form.") from error
    if any("\x00" in name or "\x00" in value for name, value in fields):
        raise BadRequest("A field of the form holds a NUL character.")
    return dict(fields)


def cookies_of(scope: Any) -> Mapping[str, str]:
    """The cookies of a request."""
    given = b";".join(value for name, value in scope["headers"] if name == b"cookie")
    return cookies_in(given, over_tls=is_secure(scope))


def _proof(secret: str) -> bytes:
    return hashlib.sha256(b"pointsman form " + secret.encode()).digest()[:_BYTES]


def _mixed(pad: bytes, other: bytes) -> bytes:
    return bytes(one ^ two for one, two in zip(pad, other, strict=True)) if len(pad) == len(other) else b""
