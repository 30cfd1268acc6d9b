"""The client itself."""

import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from math import inf
from types import TracebackType
from typing import Any, Self

from pointsman_client.aio.breakers import Breakers
from pointsman_client.aio.operations import Resources
from pointsman_client.aio.streams import EventStream
from pointsman_client.aio.tasks import Tasks
from pointsman_client.aio.waits import Waits
from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call, encode, query
from pointsman_client.calling.events import Event
from pointsman_client.calling.retrying import Retries
from pointsman_client.errors import ClientError
from pointsman_client.pausing import apause
from pointsman_client.place import find_place
from pointsman_client.wire import AsyncHold, AsyncWire, Clock

TIMEOUT_SECONDS = 60.0
_log = logging.getLogger(__name__)


class AsyncClient(Resources):
    """The API of a Pointsman: ``client.tasks``, ``client.queues`` and so on, with a method for each operation.

    Every call ends within ``timeout`` seconds, all its attempts and all their reading included. What may have got lost
    on the way is sent again until then, as long as that cannot do anything twice: submissions have an
    ``Idempotency-Key``. ``retries`` bounds how often; without it time alone does.

    ``url`` is where the API is: without it ``POINTSMAN_URL``, else a ``./scripts/up`` in this directory, else port 8000
    of this machine. ``key`` is sent as a bearer token and shown nowhere: without it ``POINTSMAN_API_KEY``. ``verify``
    are the certificates that are trusted, where those of this machine are not enough.

    Raises ``NoSuchPlace`` for an address or a key that no request could carry.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retries: int | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._place = find_place(url, key=key)
        self._wire = AsyncWire(self._place, verify)
        self._waits = Waits()
        self._set(timeout, retries)

    def _set(self, timeout: float, retries: int | None) -> None:
        if not 0 < timeout < inf:
            raise ValueError("timeout must be a number of seconds above 0")
        self._timeout = timeout
        self._retries = Retries(retries)
        Resources.__init__(self, self)
        self.tasks: Tasks = Tasks(self)
        self.breakers: Breakers = Breakers(self)

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._place.url

    @property
    def timeout(self) -> float:
        """Of a call, in seconds."""
        return self._timeout

    @property
    def retries(self) -> Retries:
        """How often a call is made again."""
        return self._retries

    @property
    def waits(self) -> Waits:
        """All who wait for tasks through this client."""
        return self._waits

    def with_options(self, *, timeout: float | None = None, retries: int | None = None) -> Self:
        """The same client, with the same connections, for calls with another ``timeout`` or other ``retries``."""
        other = object.__new__(type(self))
        other._place, other._wire, other._waits = self._place, self._wire, self._waits
        other._set(self._timeout if timeout is None else timeout, self._retries.most if retries is None else retries)
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections, and those of all that ``with_options`` made of it. Calls and waits that are under way
        raise ``ClientClosed``, and so does each from now on.
        """
        await self._wire.aclose()
        self._waits.wake()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place.url!r})"

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Answer:
        """The raw answer to a call of your own, with the deadline and the attempts of any other.

        ``repeatable`` says whether asking twice does what asking once does; without it GET, PUT, DELETE and what has
        an ``Idempotency-Key`` are. Raises ``Refused`` for anything but 2xx, and ``Unreachable``.
        """
        given = {name.lower(): value for name, value in (headers or {}).items()}
        known = method.upper() in ("GET", "HEAD", "PUT", "DELETE") or "idempotency-key" in given
        text = None if body is None else encode(body)
        again = known if repeatable is None else repeatable
        return await self.ask(Call(f"{method} {path}", method.upper(), path + _query(query), given, text, again))

    async def ask(self, call: Call, *, seconds: float | None = None, hold: AsyncHold | None = None) -> Answer:
        """Make a call: what every method does, within ``seconds`` in place of the client's ``timeout``. Raises
        ``Refused`` and ``Unreachable``, and ``LetGo`` when ``hold`` was let go.
        """
        clock, times = Clock(self._timeout if seconds is None else seconds), 0
        while True:
            times += 1
            try:
                return await self._wire.send(call, clock.left, hold)
            except ClientError as error:
                seconds = self._retries.pause(call, error, times, clock.left)
                if seconds is None:
                    raise
                _log.info("%s is asked for again, for %.0f s at most: %s", call.operation, clock.left, error)
            await apause(seconds)

    async def listen(self, call: Call) -> AsyncIterator[Event]:
        """The events of a stream. Where its connection breaks off it goes on with a new one, and gives up when it had
        none for ``timeout`` seconds.
        """
        stream = self.stream(call)
        try:
            while (event := await stream.next()) is not None:
                yield event
        finally:
            await stream.aclose()

    def stream(self, call: Call) -> EventStream:
        """The same for whoever cannot wait for every event. It is to be closed."""
        return EventStream(self._wire, call, self._timeout, self._retries)


def _query(wanted: Mapping[str, Any] | None) -> str:
    return query(**(wanted or {}))
