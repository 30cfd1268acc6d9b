"""Server-sent events (WHATWG HTML), taken from lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    name: str
    data: Any
    """The JSON that it holds; its text where that is none."""
    id: str | None = None
    """To be sent as ``Last-Event-ID`` by whoever goes on from here. The client does so by itself."""

    def field(self, name: str) -> Any:
        """What it has under this name; None where it has no such."""
        return self.data.get(name) if isinstance(self.data, Mapping) else None

    def listed(self, name: str) -> list[Mapping[str, Any]]:
        """The documents that it has under this name; none where it has no such."""
        found = self.field(name)
        return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


@dataclass(slots=True)
class EventLines:
    """Makes events of lines. ``last_id`` is that of the newest event, and ``retry_seconds`` what the API asks for."""

    last_id: str | None = None
    retry_seconds: float = 1.0
    _id: str | None = None
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Go on from there."""
        self._id = self.last_id

    def take(self, line: str) -> Event | None:
        """The event that this line, without its end, ends."""
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value or None
        elif name == "retry" and value.isdecimal():
            self.retry_seconds = int(value) / 1000
        return None

    def broken(self) -> None:
        """The stream broke off: what was half said is forgotten."""
        self._id, self._name, self._data = self.last_id, "", []

    def _end(self) -> Event | None:
        text, name = "\n".join(self._data), self._name or "message"
        said = bool(self._data)
        # Of a half event nothing counts, and its id least of all.
        self.last_id = self._id
        self.broken()
        if not said:
            return None
        try:
            data: Any = json.loads(text)
        except ValueError:
            data = text
        return Event(name, data, self.last_id)
