"""Server-sent events as a client reads them."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx


class Seen(NamedTuple):
    """One event."""

    name: str
    data: Any
    id: str
    """The id of the last event that had one."""


class EventStream:
    """The events of an answer, in order; ``headers`` are what it came with."""

    def __init__(self, answer: httpx.Response) -> None:
        self.headers = answer.headers
        self._lines = answer.aiter_lines()
        self._id = ""

    async def __aiter__(self) -> AsyncIterator[Seen]:
        """Every event until the stream ends."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
                continue
            self._id = fields.get("id", self._id)
            if "data" in fields:
                yield Seen(fields.get("event", "message"), json.loads(fields["data"]), self._id)
            fields = {}

    async def next(self, name: str | None = None) -> Seen:
        """The next event, or the next of this name."""
        async for seen in self:
            if name in (None, seen.name):
                return seen
        raise AssertionError(f"the stream ended before another event {name or ''}")


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, path: str, *, last_event_id: str | None = None, **parameters: str | list[str]
) -> AsyncIterator[EventStream]:
    """The stream of a path, until the end of the block."""
    headers: Mapping[str, str] = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with client.stream("GET", path, params=parameters, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield EventStream(answer)
