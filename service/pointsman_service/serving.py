"""The HTTP server of a process that has the API."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import uvicorn
from uvicorn.server import ServerState

from pointsman_service.front.bounds import Bounds
from pointsman_service.front.connection import Connection
from pointsman_service.telemetry import logger

log = logger(__name__)

_TICKS_A_LOOK = 5
_LOOK_SECONDS = 0.5
_LATE_SECONDS = 0.1
_LOG_SECONDS = 10.0


class Streams(Protocol):
    """An application that streams to listeners."""

    def close_streams(self) -> None:
        """End every stream."""
        ...


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration of a server whose connections have bounds."""

    bounds: Bounds


class _State(ServerState):
    """uvicorn's state, and how many connections were closed, by the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: Counter[str] = Counter()


class Server(uvicorn.Server):
    """Looks after its connections; ends what streams for as long as its listeners like, or a stop would wait for it."""

    def __init__(self, config: ServerConfig, app: Streams) -> None:
        super().__init__(config)
        self._app = app
        self._bounds = config.bounds
        self._state = self.server_state = _State()
        self._told_at = float("-inf")
        self._looked_at: float | None = None

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % _TICKS_A_LOOK == 0:
            await self.look(asyncio.get_running_loop().time)
        return await super().on_tick(counter)

    async def look(self, clock: Callable[[], float]) -> None:
        """Close connections that take too long. One of which nothing was read for a while, because this process was
        busy or stopped, is heard first, and that time is not its own.
        """
        if self._forgive(clock()):
            # uvloop runs what is due before it reads, and asyncio hands on what it has read a turn later.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._looked_at = clock()
        self._look_after(self._looked_at)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, end what streams, wait for the rest."""
        self._app.close_streams()
        await super().shutdown(sockets)

    def _forgive(self, now: float) -> bool:
        """Whether nobody was heard for a while. Nobody is blamed for it."""
        late = 0.0 if self._looked_at is None else now - self._looked_at - _LOOK_SECONDS
        if late <= _LATE_SECONDS:
            return False
        for connection in self.server_state.connections:
            if isinstance(connection, Connection):
                connection.forgive(late, now)
        return True

    def _look_after(self, now: float) -> None:
        connections = [one for one in self.server_state.connections if isinstance(one, Connection)]
        for connection in connections:
            connection.look_after(now)
        unread = sum(connection.unread for connection in connections)
        for connection in sorted(connections, key=lambda one: one.unread, reverse=True):
            if unread <= self._bounds.unread_bytes:
                break
            unread -= connection.unread
            connection.leave_unread()
        if self._state.closed and now - self._told_at > _LOG_SECONDS:
            self._told_at = now
            told = {reason.replace(" ", "_").replace("-", "_"): count for reason, count in self._state.closed.items()}
            log.warning("connections were closed", open=len(connections), **told)
            self._state.closed.clear()
