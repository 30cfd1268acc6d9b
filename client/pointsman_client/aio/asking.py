"""What every class of operations asks through."""

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

from pointsman_client.aio.streams import EventStream
from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.calling.documents import document_of, model_of
from pointsman_client.calling.events import Event
from pointsman_client.model import Model, one_of
from pointsman_client.wire import AsyncHold

M = TypeVar("M", bound=Model)


class Asked(Protocol):
    """Whoever makes calls."""

    async def ask(self, call: Call, *, seconds: float | None = None, hold: AsyncHold | None = None) -> Answer:
        """The answer, in time and by as many attempts as it takes. Raises ``Refused`` and ``Unreachable``, and
        ``LetGo`` when ``hold`` was let go.
        """
        ...

    def listen(self, call: Call) -> AsyncIterator[Event]:
        """The events of a stream, which goes on where a connection breaks off. Raises as ``ask``."""
        ...

    def stream(self, call: Call) -> EventStream:
        """The same for whoever cannot wait for every event. It is to be closed."""
        ...


class Operations:
    """The root of every class of operations."""

    def __init__(self, client: Asked) -> None:
        self._client = client

    async def _ask(self, call: Call, kind: type[M]) -> M:
        return model_of(kind, await self._client.ask(call))

    async def _ask_one_of(self, call: Call, *kinds: type[Model]) -> Any:
        answer = await self._client.ask(call)
        found = one_of(*kinds)(document_of(answer))
        return model_of(type(found), answer)

    async def _ask_text(self, call: Call) -> str:
        return (await self._client.ask(call)).body.decode(errors="replace")

    def _listen(self, call: Call) -> AsyncIterator[Event]:
        return self._client.listen(call)
