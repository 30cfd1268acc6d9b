"""One look in words: for pipes, and terminals that can do nothing."""

from datetime import UTC, datetime
from typing import TextIO

from pointsman_client.answer import JsonObject
from pointsman_client.top.looking import Look
from pointsman_client.top.page.now import now_rows
from pointsman_client.top.page.words import named
from pointsman_client.top.paint import Paint
from pointsman_client.top.pen import Line, Pen, Span
from pointsman_client.top.saying import clock, parsed, span
from pointsman_client.top.seen import as_of


def write(seen: Look, out: TextIO, pen: Pen, width: int, paint: Paint) -> None:
    """How it is, whole: what does not fit on a screen, too."""
    lines = [_unreachable(seen, pen)] if seen.now is None else _lines(seen, seen.now, width, pen)
    for line in lines:
        out.write(paint(line) + "\n")


def _lines(seen: Look, now: JsonObject, width: int, pen: Pen) -> list[Line]:
    at = as_of(now) or datetime.now(UTC)
    recorded = parsed(now.get("recorded_up_to"))
    behind = "not known" if recorded is None else f"{span((at - recorded).total_seconds())} before"
    mark = named(pen, now.get("verdict"))
    head = pen.line(
        Span(mark.text.upper(), mark.style), f"  as of {clock(at)} UTC · recorded up to {behind} · {seen.place.url}"
    )
    return [head, *(row.line for row in now_rows(now, seen.workers, width, pen, at))]


def _unreachable(seen: Look, pen: Pen) -> Line:
    mark = named(pen, "unreachable")
    return pen.line(Span(mark.text.upper(), mark.style), f"  {seen.place.url}: {seen.reason}")
