"""Messages that a Pointsman sends to others."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pointsman_client.errors import NotSigned

TOLERANCE_SECONDS = 300.0
_PREFIX = "whsec_"


def verify_webhook(
    secret: str | Sequence[str],
    body: bytes | str,
    headers: Mapping[str, str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> Any:
    """The document of a webhook, if it was signed with this secret, or with one of these, not longer ago than
    ``tolerance_seconds`` (https://www.standardwebhooks.com). ``body`` has to be as it came.

    Raises ``NotSigned``. Its ``webhook-id`` is the same at every attempt: one that was seen already is the same
    message.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        name, sent_at, signatures = (found[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        age = (time.time() if now is None else now) - int(sent_at)
    except (KeyError, ValueError):
        raise NotSigned("the message has no signature") from None
    if abs(age) > tolerance_seconds:
        raise NotSigned("the message is too old, or of a clock that is ahead")
    text = body.encode() if isinstance(body, str) else body
    content = f"{name}.{sent_at}.".encode() + text
    given = [word.partition(",")[2] for word in signatures.split(" ") if word.startswith("v1,")]
    for each in [secret] if isinstance(secret, str) else secret:
        expected = base64.b64encode(hmac.new(_key_of(each), content, hashlib.sha256).digest()).decode()
        if any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
            return json.loads(text)
    raise NotSigned("the message was signed with another secret, or changed on its way")


def _key_of(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"the secret must be base64, with or without {_PREFIX}") from None
