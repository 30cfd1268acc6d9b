"""What a message must be before kombu opens it: JSON of kombu's shape, and not so deep that passing it on fails."""

import json
from typing import Any

from kombu.compression import get_decoder
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from pointsman.errors import WorkerError
from pointsman.transport.inflated import MOST_INFLATED_BYTES, is_too_long

DEEPEST = 256
"""Levels within each other. Handing arguments to a child takes two of Python's thousand for each."""
LONGEST_TAG = 300
"""Characters of a delivery tag. Beats name them; ``fetch.lua`` knows this number."""
_TYPED = b'"__type__"'
"""Marks a value that JSON does not know, in kombu's words."""
_ESCAPED = rb"\u00"
"""May be a letter of that."""
_TEXTS = ("content-type", "content-encoding")
_TEXT_PROPERTIES = ("correlation_id", "reply_to")


class NotAMessage(WorkerError, ValueError):
    """Nobody can run it. What is wrong with it, in words that quote nothing of it."""


def opened(item: bytes) -> dict[str, Any]:
    """The envelope in ``item``, fit to be delivered. Raises ``NotAMessage``."""
    envelope = read_json(item, "it")
    check(envelope)
    return envelope  # type: ignore[no-any-return]  # checked to be an object


def read_json(text: bytes, what: str) -> Any:
    """The value of a JSON text as kombu reads it. Raises ``NotAMessage``, also for one that is too deep."""
    try:
        # Nearly every message is plain JSON, which Python reads much faster without kombu's hook.
        value = loads(bytes_to_str(text)) if _TYPED in text or _ESCAPED in text else json.loads(text.decode())
    except RecursionError:
        raise NotAMessage(f"{what} is nested too deeply") from None
    except Exception as error:
        raise NotAMessage(f"{what} is no JSON: {type(error).__name__}") from error
    if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deeper(value):
        raise NotAMessage(f"{what} is nested deeper than {DEEPEST} levels")
    return value


def check(envelope: Any) -> None:
    """Raises ``NotAMessage`` unless this is an envelope that kombu can open, acknowledge and give back."""
    if type(envelope) is not dict:
        raise NotAMessage("it is no JSON object")
    get = envelope.get
    headers = get("headers")
    if headers is not None and type(headers) is not dict:
        raise NotAMessage("its headers are no object")
    if (body := get("body")) is not None and type(body) is not str:
        raise NotAMessage("its body is no text")
    for name in _TEXTS:
        if (value := get(name)) is not None and type(value) is not str:
            raise NotAMessage(f"its {name} is no text")
    properties: Any = get("properties")
    _check_properties(properties)
    if headers and (compression := headers.get("compression")):
        _check_compressed(body or "", bool(properties.get("body_encoding")), compression)


def _check_properties(properties: Any) -> None:
    if type(properties) is not dict:
        raise NotAMessage("its properties are no object")
    get = properties.get
    tag, info = get("delivery_tag"), get("delivery_info")
    if type(tag) is not str or not tag.isprintable() or not 0 < len(tag) <= LONGEST_TAG:
        raise NotAMessage("its delivery tag is no name")
    if type(info) is not dict or type(info.get("exchange")) is not str or type(info.get("routing_key")) is not str:
        raise NotAMessage("its delivery_info names no exchange and routing key")
    if (encoding := get("body_encoding")) is not None and encoding != "base64":
        raise NotAMessage("its body_encoding is not known")
    if (priority := get("priority")) is not None and type(priority) is not int:
        raise NotAMessage("its priority is no whole number")
    for name in _TEXT_PROPERTIES:
        if (value := get(name)) is not None and (type(value) is not str or not value.isprintable()):
            raise NotAMessage(f"its {name} is no name")


def _check_compressed(body: str, is_base64: bool, method: Any) -> None:
    try:
        get_decoder(method)
    except (LookupError, TypeError):
        raise NotAMessage("it is compressed in a way that nobody knows") from None
    try:
        too_long = is_too_long(body, is_base64, method)
    except Exception as error:
        raise NotAMessage(f"its body cannot be inflated: {type(error).__name__}") from error
    if too_long:
        raise NotAMessage(f"its body would be longer than {MOST_INFLATED_BYTES // 2**20} MiB when it is inflated")


def _is_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
