"""One look: for scripts, pipes and terminals that can do nothing."""

import json
from datetime import UTC, datetime
from enum import IntEnum
from typing import TextIO

from pointsman_client.errors import ClientError
from pointsman_client.place import Place
from pointsman_client.top.page.now import now_rows
from pointsman_client.top.page.words import named
from pointsman_client.top.paint import Paint
from pointsman_client.top.pen import Line, Pen, Span
from pointsman_client.top.saying import clock, parsed, span
from pointsman_client.top.seen import NOW, as_of
from pointsman_client.top.targets import WORKERS
from pointsman_client.transport import JsonObject, Transport

_SECONDS = 5.0


class Exit(IntEnum):
    """How it is, for whoever reads no words."""

    HEALTHY = 0
    DEGRADED = 1
    """Something is wrong, or it is not known whether anything is."""
    UNREACHABLE = 2
    """The API gives no figures."""


def exit_of(now: JsonObject) -> Exit:
    """By the verdict."""
    return Exit.HEALTHY if now.get("verdict") == "healthy" else Exit.DEGRADED


def look(place: Place, out: TextIO, pen: Pen, width: int, paint: Paint, *, as_json: bool) -> Exit:
    """Write how it is, whole: what does not fit on a screen, too."""
    with Transport(place, _SECONDS) as transport:
        try:
            now = transport.get(NOW)
        except ClientError as error:
            _write_unreachable(place, error, out, pen, paint, as_json=as_json)
            return Exit.UNREACHABLE
        workers = _workers(transport)
    if as_json:
        document = {
            "url": place.url,
            "verdict": now.get("verdict"),
            "now": now,
            "workers": workers and workers["items"],
        }
        _write_json(document, out)
    else:
        for line in _lines(place, now, workers, width, pen):
            out.write(paint(line) + "\n")
    return exit_of(now)


def _workers(transport: Transport) -> JsonObject | None:
    try:
        found = transport.get(WORKERS)
    except ClientError:
        # The first page says why.
        return None
    return found if isinstance(found.get("items"), list) else None


def _lines(place: Place, now: JsonObject, workers: JsonObject | None, width: int, pen: Pen) -> list[Line]:
    at = as_of(now) or datetime.now(UTC)
    recorded = parsed(now.get("recorded_up_to"))
    behind = "not known" if recorded is None else f"{span((at - recorded).total_seconds())} before"
    mark = named(pen, now.get("verdict"))
    head = pen.line(
        Span(mark.text.upper(), mark.style), f"  as of {clock(at)} UTC · recorded up to {behind} · {place.url}"
    )
    return [head, *(row.line for row in now_rows(now, workers, width, pen, at))]


def _write_unreachable(place: Place, error: ClientError, out: TextIO, pen: Pen, paint: Paint, *, as_json: bool) -> None:
    if as_json:
        _write_json({"url": place.url, "verdict": "unreachable", "reason": str(error)}, out)
        return
    mark = named(pen, "unreachable")
    out.write(paint(pen.line(Span(mark.text.upper(), mark.style), f"  {place.url}: {error}")) + "\n")


def _write_json(document: JsonObject, out: TextIO) -> None:
    # Only ASCII: what is in it cannot steer a terminal.
    out.write(json.dumps(document) + "\n")
