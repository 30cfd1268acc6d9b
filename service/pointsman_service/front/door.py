"""The outermost ASGI application: who is let in, before anything is looked up."""

from typing import Any, Protocol

from pointsman_service.api.problems import MEDIA_TYPE, problem_bytes
from pointsman_service.errors import CrossSite, PointsmanError, UnknownHost
from pointsman_service.front.names import Names, folded_origins, host_of, is_same
from pointsman_service.settings import Settings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = (b"same-origin", b"none")
_NAME_SHOWN = 100
_REMEMBERED = 100
_LONGEST_REQUEST_ID = 128


class Application(Protocol):
    """What is behind the door."""

    def close_streams(self) -> None:
        """End every stream."""
        ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        ...


class Door:
    """Refuses a name that is not ours, and acts that a page of another site asks a browser for.

    Browsers say of themselves whose page asks (``Sec-Fetch-Site``, ``Origin``); no page can change that. What is no
    browser says nothing, and is let in.
    """

    def __init__(self, application: Application, settings: Settings) -> None:
        self._application = application
        self._names = Names(settings)
        self._origins = folded_origins(settings.allowed_origins)
        self._known: set[bytes] = set()
        """Values of ``Host`` that were found to be ours."""

    def close_streams(self) -> None:
        """End every stream to a listener: the process is about to stop."""
        self._application.close_streams()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            fields = dict(scope["headers"])
            if b"x-request-id" in fields:
                send = _echoing(fields[b"x-request-id"], send)
            host = fields.get(b"host", b"")
            # No browser leaves it out; simple health checks do.
            refusal = None if host in self._known or not host else self._unknown(host)
            if refusal is None and (b"sec-fetch-site" in fields or b"origin" in fields):
                refusal = self._cross_site(scope["method"], fields)
            if refusal is not None:
                await _refuse(refusal, scope, send)
                return
        await self._application(scope, receive, send)

    def _unknown(self, host: bytes) -> PointsmanError | None:
        name = host.decode("latin-1")
        if not self._names.has(name):
            shown = repr((host_of(name) or name)[:_NAME_SHOWN])
            return UnknownHost(
                f"This API does not answer to the name {shown}; POINTSMAN_ALLOWED_HOSTS names those it has."
            )
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add(host)
        return None

    def _cross_site(self, method: str, fields: dict[bytes, bytes]) -> PointsmanError | None:
        origin = fields.get(b"origin", b"").decode("latin-1")
        if origin.lower() in self._origins:
            return None
        site = fields.get(b"sec-fetch-site")
        # Browsers leave it out where they are not on TLS, but to this machine; and did before 2023.
        own = is_same(origin, fields.get(b"host", b"").decode("latin-1")) if site is None else site in _OWN
        # Following a link is no act, and nothing of a stream or an answer is shown to the page that asked.
        if own or (method in _SAFE and fields.get(b"sec-fetch-mode") in (None, b"navigate")):
            return None
        return CrossSite()


async def _refuse(error: PointsmanError, scope: Any, send: Any) -> None:
    content = problem_bytes(error)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def _echoing(request_id: bytes, send: Any) -> Any:
    """``send``, with the request's X-Request-ID in the answer when it is a sane one."""
    if len(request_id) > _LONGEST_REQUEST_ID or not request_id.isascii() or not request_id.decode().isprintable():
        return send

    async def echoing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
        await send(message)

    return echoing
