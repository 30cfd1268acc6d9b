"""Answers by who may see payloads: who may not gets them masked, and for who may what is sealed is opened."""

from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from pointsman_contract.sealing import Sealer
from pointsman_service.api.answers.answer import json_bytes
from pointsman_service.api.answers.payloads import mask

_JSON = b"application/json"
_STREAM = b"text/event-stream"


class Masking:
    """ASGI, before the routes: masks what an operation answers, by the view that it documents, or opens it.

    Streams are not JSON and are told masked by themselves.
    """

    def __init__(self, app: Any, sealer: Callable[[], Sealer | None] = lambda: None) -> None:
        self._app = app
        self._sealer = sealer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["caller"].reads_payloads:
            sealer = self._sealer()
            await self._app(scope, receive, send if sealer is None else _Opened(sealer, send))
        else:
            await self._app(scope, receive, _Held(scope, send))


class _Opened:
    """``send``, which opens what is sealed: in JSON once it is whole, in a stream in each of its messages."""

    def __init__(self, sealer: Sealer, send: Any) -> None:
        self._sealer = sealer
        self._send = send
        self._start: Any = None
        self._body = bytearray()
        self._streams = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._streams = _has_type(message, _STREAM)
            if _is_json(message):
                self._start = message
            else:
                await self._send(message)
        elif self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                body = self._sealer.opened_json(bytes(self._body))
                await self._send(_of_length(self._start, len(body)))
                await self._send({"type": "http.response.body", "body": body})
        elif self._streams:
            await self._send(message | {"body": self._sealer.opened_json(message.get("body", b""))})
        else:
            await self._send(message)


class _Held:
    """``send``, which holds back JSON until it is whole."""

    def __init__(self, scope: Any, send: Any) -> None:
        self._scope = scope
        self._send = send
        self._start: Any = None
        self._body = bytearray()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            if _is_json(message):
                self._start = message
            else:
                await self._send(message)
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_masked()

    async def _send_masked(self) -> None:
        start, body = self._start, bytes(self._body)
        model = _model_of(self._scope.get("route"), start["status"])
        if model is not None and body:
            content = from_json(body)
            mask(model, content)
            body = json_bytes(content)
            start = _of_length(start, len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_json(start: Any) -> bool:
    return _has_type(start, _JSON)


def _has_type(start: Any, kind: bytes) -> bool:
    return any(name == b"content-type" and value.startswith(kind) for name, value in start["headers"])


def _of_length(start: Any, length: int) -> Any:
    kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return start | {"headers": [*kept, (b"content-length", b"%d" % length)]}


def _model_of(route: Any, status: int) -> Any:
    told = getattr(route, "responses", None) or {}
    return told.get(status, {}).get("model") or getattr(route, "response_model", None)
