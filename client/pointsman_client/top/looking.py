"""One look at an API, as it answers: for scripts, which wait for it each time."""

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

from pointsman_client.answer import JsonObject
from pointsman_client.calling.call import Call
from pointsman_client.calling.documents import document_of
from pointsman_client.errors import ClientError
from pointsman_client.place import Place
from pointsman_client.top.seen import NOW
from pointsman_client.top.targets import WORKERS

if TYPE_CHECKING:
    from pointsman_client.wire import Wire
    from pointsman_client.wire.plain import PlainWire

_SECONDS = 5.0


class Exit(IntEnum):
    """How it is, for whoever reads no words."""

    HEALTHY = 0
    DEGRADED = 1
    """Something is wrong, or it is not known whether anything is."""
    UNREACHABLE = 2
    """The API gives no figures."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen."""

    place: Place
    now: JsonObject | None
    """None: it gives no figures."""
    workers: JsonObject | None = None
    reason: str = ""
    """Why it gives none."""

    @property
    def exit(self) -> Exit:
        """By the verdict."""
        if self.now is None:
            return Exit.UNREACHABLE
        return Exit.HEALTHY if self.now.get("verdict") == "healthy" else Exit.DEGRADED


def look(place: Place) -> Look:
    """The first page and the workers, each within five seconds."""
    wire = _wire(place)
    try:
        now = _get(wire, NOW)
        return Look(place, now, _workers(wire))
    except ClientError as error:
        return Look(place, None, reason=str(error))
    finally:
        wire.close()


def write_json(seen: Look, out: TextIO) -> None:
    """As one line."""
    if seen.now is None:
        document: JsonObject = {"url": seen.place.url, "verdict": "unreachable", "reason": seen.reason}
    else:
        document = {
            "url": seen.place.url,
            "verdict": seen.now.get("verdict"),
            "now": seen.now,
            "workers": seen.workers and seen.workers["items"],
        }
    # Only ASCII: what is in it cannot steer a terminal.
    out.write(json.dumps(document) + "\n")


def _wire(place: Place) -> "Wire | PlainWire":
    # Loading httpx2 takes longer than all the rest of a look.
    if place.url.startswith("http:"):
        from pointsman_client.wire.plain import PlainWire

        return PlainWire(place)
    from pointsman_client.wire import Wire

    return Wire(place)


def _get(wire: "Wire | PlainWire", path: str) -> JsonObject:
    return dict(document_of(wire.send(Call(path, "GET", path), _SECONDS)))


def _workers(wire: "Wire | PlainWire") -> JsonObject | None:
    try:
        found = _get(wire, WORKERS)
    except ClientError:
        # The first page says why.
        return None
    return found if isinstance(found.get("items"), list) else None
