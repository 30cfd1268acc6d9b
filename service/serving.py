"""The HTTP server of a process that has the API."""

import socket
from typing import Protocol

import uvicorn


class Streams(Protocol):
    """An application that streams to listeners."""

    def close_streams(self) -> None:
        """End every stream."""
        ...


class StreamEndingServer(uvicorn.Server):
    """Ends what streams for as long as its listeners like, or a stop would wait for them."""

    def __init__(self, config: uvicorn.Config, app: Streams) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, end what streams, wait for the rest."""
        self._app.close_streams()
        await super().shutdown(sockets)
