"""Answers for who may not see payloads: the same, with what is a payload masked."""

from typing import Any

from pydantic_core import from_json

from pointsman_service.api.answers.answer import json_bytes
from pointsman_service.api.answers.payloads import mask

_JSON = b"application/json"


class Masking:
    """ASGI, before the routes: masks what an operation answers, by the view that it documents.

    Streams are not JSON and are told masked by themselves.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or scope["caller"].reads_payloads:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Held(scope, send))


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
            kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            start = start | {"headers": [*kept, (b"content-length", b"%d" % len(body))]}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_json(start: Any) -> bool:
    return any(name == b"content-type" and value.startswith(_JSON) for name, value in start["headers"])


def _model_of(route: Any, status: int) -> Any:
    told = getattr(route, "responses", None) or {}
    return told.get(status, {}).get("model") or getattr(route, "response_model", None)
