"""The outermost ASGI application, before the hot route and all others."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from pointsman_service.api.answers.answer import Answer, guards_of
from pointsman_service.api.bodies.header_fields import note_fields
from pointsman_service.api.problems.answering import ANSWER_BEGUN, answer_to
from pointsman_service.api.requests.preferences import STILL, Still
from pointsman_service.api.tasks.submissions import BATCH_PATH
from pointsman_service.callers import LOCAL, NOBODY, Caller, KnownBy
from pointsman_service.errors import BadRequest, BodyTooLarge, CrossSite, LinkExpired, Unauthorized, UnknownHost
from pointsman_service.front.names import Names, folded_origins, host_of, is_same
from pointsman_service.front.request_ids import new_request_id, request_id_in, request_id_of
from pointsman_service.settings import Settings
from pointsman_service.telemetry import request_id

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = (b"same-origin", b"none")
_NAME_SHOWN = 100
_REMEMBERED = 100
_STREAMS = ("/events", "/stream")
"""What paths of streams end with."""
_OF_ADDRESSES = frozenset({b"referrer-policy", b"cache-control"})
_LINK = KnownBy.LINK
_SHORT_DIGITS = 3
"""A length of so many digits is below any limit of a body."""


class Application(Protocol):
    """What is behind the door."""

    def close_streams(self) -> None:
        """End every stream."""
        ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        ...


class Callers(Protocol):
    """Who calls."""

    def of(self, fields: dict[bytes, bytes], path: str, query: bytes) -> Caller | None:
        """Whoever sent a request with these header fields for this address; None: ``find`` has to be asked. Raises
        ``PointsmanError`` for a key that opens nothing.
        """
        ...

    async def find(self, fields: dict[bytes, bytes]) -> Caller:
        """The same, where it takes time."""
        ...

    async def check_still(self, fields: dict[bytes, bytes], path: str, query: bytes) -> None:
        """Raises what is wrong by now with what these came with."""
        ...

    async def until_it_ends(self, caller: Caller, fields: dict[bytes, bytes], path: str, query: bytes) -> None:
        """Return when what this caller may is another than it was."""
        ...


class Pages(Protocol):
    """The dashboard: what is refused before it is told as a page, too."""

    def close_streams(self) -> None:
        """End every stream."""
        ...

    def refusal(self, error: Exception, scope: Any) -> Answer | None:
        """The answer to a request for a page that is refused; None: it is for something else, or begun already."""
        ...


class Door:
    """The one layer before every route: says who calls and names the request, refuses what may not come in, and answers
    whatever fails.

    It refuses a name that is not ours, acts that a page of another site asks a browser for, and a body that is longer
    than its operation takes, or turns out to be. Browsers say of themselves whose page asks (``Sec-Fetch-Site``,
    ``Origin``); no page can change that. What is no browser says nothing, and is let in.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        pages: Pages | None = None,
        callers: Callers | None = None,
        count: Callable[[Exception], None] | None = None,
    ) -> None:
        """Without ``callers`` nobody is asked who they are. ``count`` is told of what a request ended with."""
        self._application = application
        self._pages = pages
        self._callers = callers
        self._count = count
        self._names = Names(settings)
        self._origins = folded_origins(settings.allowed_origins)
        self._body_bytes = settings.body_bytes
        self._batch_bytes = settings.batch_bytes
        self._known: set[bytes] = set()
        """Values of ``Host`` that were found to be ours."""

    def close_streams(self) -> None:
        """End every stream to a listener: the process is about to stop."""
        self._application.close_streams()
        if self._pages is not None:
            self._pages.close_streams()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request. ``scope["caller"]`` is who asks, ``scope["request_id"]`` what the answer's X-Request-ID says."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = scope["headers"]
        fields = dict(headers)
        repeated = len(fields) != len(headers)
        if repeated:
            called = request_id_in(headers)
        else:
            note_fields(scope, fields)
            called = request_id_of(fields[b"x-request-id"]) if b"x-request-id" in fields else new_request_id()
        scope["request_id"] = called
        request_id.set(called)
        send = partial(_named, (b"x-request-id", called), scope, send)
        scope["caller"] = LOCAL
        try:
            if repeated and sum(name == b"host" for name, _ in headers) > 1:
                # A proxy may have gone by the other one.
                raise BadRequest("Host is given more than once.")
            host = fields.get(b"host", b"")
            # No browser leaves it out; simple health checks do.
            if host not in self._known and host:
                self._know(host)
            if b"sec-fetch-site" in fields or b"origin" in fields:
                self._refuse_cross_site(scope["method"], fields)
            ending = None
            if self._callers is not None:
                if repeated and sum(name == b"authorization" for name, _ in headers) > 1:
                    raise BadRequest("Authorization is given more than once.")
                caller = self._callers.of(fields, scope["path"], scope["query_string"])
                if caller is None:
                    caller = await self._callers.find(fields)
                if caller is not LOCAL:
                    scope["caller"] = caller
                    if caller.known_by is _LINK:
                        send = partial(_unreferred, send)
                    if b"prefer" in fields and caller.may_end:
                        shown = fields, scope["path"], scope["query_string"]
                        scope[STILL] = Still(
                            partial(self._callers.check_still, *shown),
                            partial(self._callers.until_it_ends, caller, *shown),
                        )
                    if scope["method"] == "GET" and scope["path"].endswith(_STREAMS) and caller.may_end:
                        receive = ending = _Ending(
                            partial(self._callers.until_it_ends, caller, fields, scope["path"], scope["query_string"]),
                            receive,
                        )
            length = fields.get(b"content-length")
            if (length is None or len(length) > _SHORT_DIGITS) and scope["method"] not in _SAFE:
                receive = self._bounded(length, scope["path"], receive)
            await self._application(scope, receive, send)
            if ending is not None and ending.ended:
                await send({"type": "http.response.body", "body": b""})
        except Exception as error:
            if isinstance(error, Unauthorized | LinkExpired):
                # What is told of it is told to whom nobody knows.
                scope["caller"] = NOBODY
            if self._count is not None:
                self._count(error)
            page = None if self._pages is None else self._pages.refusal(error, scope)
            answer = page or answer_to(error, scope)
            if answer is None:
                raise
            await answer.send_to(send, head_only=scope["method"] == "HEAD")

    def _know(self, host: bytes) -> None:
        name = host.decode("latin-1")
        if not self._names.has(name):
            shown = repr((host_of(name) or name)[:_NAME_SHOWN])
            raise UnknownHost(
                f"This API does not answer to the name {shown}; POINTSMAN_ALLOWED_HOSTS names those it has."
            )
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add(host)

    def _refuse_cross_site(self, method: str, fields: dict[bytes, bytes]) -> None:
        origin = fields.get(b"origin", b"").decode("latin-1")
        if origin.lower() in self._origins:
            return
        site = fields.get(b"sec-fetch-site")
        # Browsers leave it out where they are not on TLS, but to this machine; and did before 2023.
        own = is_same(origin, fields.get(b"host", b"").decode("latin-1")) if site is None else site in _OWN
        # Following a link is no act, and nothing of a stream or an answer is shown to the page that asked.
        if own or (method in _SAFE and fields.get(b"sec-fetch-mode") in (None, b"navigate")):
            return
        raise CrossSite

    def _bounded(self, length: bytes | None, path: str, receive: Any) -> Any:
        """``receive``, for a body whose length is not told counted. Raises ``BodyTooLarge`` for one that is told."""
        most = self._batch_bytes if path == BATCH_PATH else self._body_bytes
        if length is None or not length.isdigit():
            return _counted(receive, most)
        if int(length) > most:
            raise _too_large(most)
        return receive


class _Ending:
    """``receive``, for a stream: its listener is taken for gone when the key that it came with opens it no longer."""

    def __init__(self, until_it_ends: Callable[[], Awaitable[None]], receive: Any) -> None:
        self._until_it_ends = until_it_ends
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Any:
        """The next message."""
        message, end = asyncio.ensure_future(self._receive()), asyncio.ensure_future(self._until_it_ends())
        try:
            await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
            if message.done():
                return message.result()
            self.ended = True
            return {"type": "http.disconnect"}
        finally:
            message.cancel()
            end.cancel()


def _unreferred(send: Any, message: Any) -> Any:
    """``send(message)``, of an answer whose address is a secret: no page that it leads to is told of it, and nobody
    keeps it.
    """
    if message["type"] == "http.response.start":
        kept = [one for one in message.get("headers", ()) if one[0] not in _OF_ADDRESSES]
        message["headers"] = [*kept, (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store")]
    return send(message)


def _counted(receive: Any, most: int) -> Any:
    """``receive``, until it has given more than ``most`` bytes; then it raises ``BodyTooLarge``."""
    size = 0

    async def counted() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than {most} bytes.")


def _named(called: tuple[bytes, bytes], scope: Any, send: Any, message: Any) -> Any:
    """``send(message)``, with the name of its request in an answer that begins, which is noted in ``scope``, and with
    what keeps browsers from taking it for something else.

    No coroutine and no closure: every submission pays for it.
    """
    if message["type"] == "http.response.start":
        scope[ANSWER_BEGUN] = True
        given = message.get("headers", ())
        message["headers"] = [*given, called, *guards_of(given)]
    return send(message)
