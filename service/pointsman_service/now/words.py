"""Pieces of sentences, and the numbers in them. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pointsman_service.breaker.last_error import in_a_line
from pointsman_service.now.picture import Link, LinkKind, Part, Words
from pointsman_service.observe.spans import ago, span

MOST_NAMED = 3
NOTHING_TO_DO = "Nothing, unless it comes back."
"""The remedy of what is over, of which an alert still tells."""


def words(*pieces: str | Part) -> Words:
    """A sentence of these pieces; empty ones are left out."""
    parts = (Part(piece) if isinstance(piece, str) else piece for piece in pieces)
    return tuple(part for part in parts if part.text)


def one(kind: LinkKind, name: str, text: str | None = None) -> Part:
    """The name of a thing, which leads to it."""
    return Part(name if text is None else text, Link(kind, name))


def number(count: int, thing: str, *, capped: bool = False) -> str:
    """``1 task``, ``18,223 tasks``."""
    return f"{count:,}{' or more' if capped else ''} {thing if count == 1 else f'{thing}s'}"


def failure(kind: str, message: str) -> str:
    """``HTTPStatusError: 503 Service Unavailable``: an error as people say it, without the module of its type."""
    return in_a_line(kind.rpartition(".")[2], message)


def since(at: datetime | None, now: datetime) -> str:
    """`` since 08:30:00 UTC (4 min)``; empty when that is not known."""
    return "" if at is None else f" {ago(at, now)}"


def per(count: float) -> str:
    """So many a second, or a minute when that is less."""
    if count * 60 < 0.5:
        return "none"
    return f"{count:,.0f}/s" if count >= 9.95 else f"{count:.1f}/s" if count >= 1 else f"{count * 60:.0f}/min"


def quoted(reason: str | None) -> str:
    """``: "provider moves"``; empty without a reason."""
    return f': "{reason}"' if reason else ""


def listed(parts: Sequence[Part]) -> Iterable[str | Part]:
    """``a, b, c and 4 more``."""
    for place, part in enumerate(parts[:MOST_NAMED]):
        yield ", " if place else ""
        yield part
    if len(parts) > MOST_NAMED:
        yield f" and {len(parts) - MOST_NAMED:,} more"


def over(seconds: float, target: float) -> str:
    """``40 s over its target of 10 s``."""
    return f"{span(seconds - target)} over its target of {span(target)}"


def size(octets: int) -> str:
    """Bytes as people say them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if octets >= unit:
            return f"{octets / unit:.3g} {name}"
    return f"{octets / 1e3:.0f} kB"
