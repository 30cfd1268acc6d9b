"""A message as an HTTP request, signed as Standard Webhooks says (https://www.standardwebhooks.com).

No redirect is followed and no byte of an answer's body is read: its status says everything, and ``Retry-After`` when to
come again.
"""

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpcore
import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from pointsman_contract import RELEASE
from pointsman_contract.retry_after import seconds_of
from pointsman_service.alert.delivering import Delivered, NotDelivered
from pointsman_service.alert.guard import GuardedBackend, TargetRefused
from pointsman_service.alert.wording import text_of
from pointsman_service.channel_settings import WebhookChannel, signing_key

_SLACK_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


async def deliver(
    channel: WebhookChannel,
    message_id: str,
    created_at: str,
    message: Mapping[str, Any],
    now: float,
    *,
    allowed: Sequence[str],
) -> Delivered:
    """One attempt, ended after the channel's time limit. Raises ``NotDelivered``. ``now`` is in Unix seconds."""
    body = body_of(channel, created_at, message)
    headers = [("content-type", "application/json"), ("user-agent", f"pointsman/{RELEASE}"), ("connection", "close")]
    headers += signed(message_id, int(now), body, channel.secrets)
    try:
        async with asyncio.timeout(channel.timeout_seconds):
            status, retry_after = await _post(channel, headers, body, allowed)
    except TimeoutError:
        raise NotDelivered("timeout", f"no answer within {channel.timeout_seconds:g} s") from None
    except TargetRefused as error:
        raise NotDelivered("refused by the guard", str(error)) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError, OSError) as error:
        # Such errors name hosts at most, and never the path, which may be the secret.
        raise NotDelivered(type(error).__name__, str(error) or type(error).__name__) from None
    if 200 <= status <= 299:
        return Delivered(f"HTTP {status}")
    hint = "; redirects are not followed" if 300 <= status <= 399 else ""
    raise NotDelivered(f"HTTP {status}", f"the receiver answered {status}{hint}", retry_after)


def body_of(channel: WebhookChannel, created_at: str, message: Mapping[str, Any]) -> bytes:
    """The bytes of a message, the same at every attempt: its receiver compares them with the signature."""
    if channel.body == "slack":
        text = text_of(message)
        for sign, escaped in _SLACK_ESCAPES:
            text = text.replace(sign, escaped)
        return to_json({"text": text})
    return to_json({"type": f"alert.{message['event']}", "timestamp": created_at, "data": message})


def signed(message_id: str, timestamp: int, body: bytes, secrets: Sequence[SecretStr]) -> list[tuple[str, str]]:
    """The three headers; one signature for each secret. Without a secret there is no signature."""
    content = f"{message_id}.{timestamp}.".encode() + body
    headers = [("webhook-id", message_id), ("webhook-timestamp", str(timestamp))]
    signatures = [hmac.new(signing_key(secret), content, hashlib.sha256).digest() for secret in secrets]
    if signatures:
        words = (f"v1,{base64.b64encode(signature).decode()}" for signature in signatures)
        headers.append(("webhook-signature", " ".join(words)))
    return headers


async def _post(
    channel: WebhookChannel, headers: Sequence[tuple[str, str]], body: bytes, allowed: Sequence[str]
) -> tuple[int, float]:
    """The status, and how long the receiver wants to be left alone."""
    url = httpx.URL(channel.url.get_secret_value())
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    pool = httpcore.AsyncConnectionPool(
        ssl_context=_ssl_context(channel.ca_file),
        max_connections=1,
        network_backend=GuardedBackend(allowed),
    )
    async with pool, pool.stream("POST", target, headers=list(headers), content=body) as answer:
        found = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        return answer.status, seconds_of(found.get(b"retry-after", ""), found.get(b"date", "")) or 0.0


@cache
def _ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    return httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
