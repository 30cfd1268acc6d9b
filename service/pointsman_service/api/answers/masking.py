"""Answers by who may see payloads: who may not gets them masked, and for who may what is sealed is opened."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from pydantic_core import from_json

from pointsman_contract.sealing import Sealer, Whose, tasks_in
from pointsman_service.api.answers.answer import json_bytes
from pointsman_service.api.answers.payloads import mask
from pointsman_service.callers import Caller
from pointsman_service.errors import ExpectedFault, Unavailable
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import reading
from pointsman_service.telemetry import logger

log = logger(__name__)

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON = b"application/json"
_STREAM = b"text/event-stream"


class Masking:
    """ASGI, before the routes: masks what an operation answers, by the view that it documents, or opens it.

    Streams are not JSON and are told masked by themselves.
    """

    def __init__(self, app: Any, sealer: Callable[[], Sealer | None], store: Callable[[], Store]) -> None:
        self._app = app
        self._sealer = sealer
        self._store = store

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["caller"].reads_payloads:
            sealer = self._sealer()
            if sealer is not None:
                send = _Opened(sealer, self._store(), scope, send)
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Held(scope, send))


async def opened_for(caller: Caller, body: bytes, sealer: Sealer, store: Store) -> bytes:
    """JSON with what is sealed in it opened, as far as it is of tasks that the caller has to do with."""
    if not caller.is_narrowed and caller.task_id is None:
        return sealer.opened_json(body)
    return sealer.opened_json(body, await _whose(caller, tasks_in(body), store))


async def opened_by_link(task_id: UUID, store: Store) -> frozenset[str]:
    """The tasks of whose payloads a link to this one shows: what is run again keeps the arguments that it had."""
    found: dict[str, None] = {}
    following: UUID | None = task_id
    async with store.statement() as connection:
        while following is not None and str(following) not in found:
            found[str(following)] = None
            row = await reading.task(connection, following)
            following = None if row is None else cast(UUID | None, row["replayed_from"])
    return frozenset(found)


async def _whose(caller: Caller, named: frozenset[str], store: Store) -> Whose:
    if caller.task_id is not None:
        own = frozenset({str(caller.task_id)})
        return (own if named <= own else await opened_by_link(caller.task_id, store)).__contains__
    ids = {found: one for one in named if (found := _id_of(one)) is not None}
    if not ids:
        return lambda _: False
    async with store.statement() as connection:
        kinds = await reading.kinds_of(connection, ids)
    return frozenset(ids[one] for one, kind in kinds.items() if caller.reaches(*kind)).__contains__


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


class _Opened:
    """``send``, which opens what is sealed: in JSON once it is whole, in a stream in each of its messages."""

    def __init__(self, sealer: Sealer, store: Store, scope: Any, send: Any) -> None:
        self._sealer = sealer
        self._store = store
        self._caller: Caller = scope["caller"]
        self._is_act = scope["method"] not in _SAFE
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
                body = await self._opened(bytes(self._body))
                await self._send(_of_length(self._start, len(body)))
                await self._send({"type": "http.response.body", "body": body})
        elif self._streams:
            await self._send(message | {"body": await self._opened(message.get("body", b""))})
        else:
            await self._send(message)

    async def _opened(self, body: bytes) -> bytes:
        try:
            return await opened_for(self._caller, body, self._sealer, self._store)
        except (ExpectedFault, Unavailable) as error:
            if not self._is_act:
                raise
            # It is done, and an error would have it done again.
            log.info("an answer is told with what is encrypted", reason=f"{type(error).__name__}: {error}")
            return self._sealer.opened_json(body, lambda _: False)


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
