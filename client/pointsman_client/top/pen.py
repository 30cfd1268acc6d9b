"""Lines of a terminal: pieces of text, each with a style, in cells."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, set_cell_size

from pointsman_client.shown import shown


class Style(StrEnum):
    """What a piece is. Colour only repeats what its words and shapes say."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    CHOSEN = "chosen"
    """Where the cursor is."""
    BANNER = "banner"
    """What must not be overlooked."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line. Made by a ``Pen`` only, so that nothing in it can steer a terminal."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes what a terminal can show: with ``ascii_only`` nothing else is left in a text."""

    ascii_only: bool = False

    def span(self, text: str, style: Style = Style.PLAIN) -> Span:
        """A piece, of any text."""
        return Span(shown(text, self.ascii_only), style)

    def line(self, *parts: str | Span) -> Line:
        """A line of them."""
        return tuple(self.span(part) if isinstance(part, str) else part for part in parts)

    def fit(self, line: Line, cells: int) -> Line:
        """The line in exactly that many cells: filled with spaces, or cut, which it shows."""
        if (short := cells - width(line)) >= 0:
            return (*line, Span(" " * short)) if short else line
        mark = shown("…", self.ascii_only)
        room = max(cells - len(mark), 0)
        kept: list[Span] = []
        for span in line:
            if (wide := cell_len(span.text)) > room:
                kept.append(Span(set_cell_size(span.text, room), span.style))
                room = 0
                break
            kept.append(span)
            room -= wide
        return (*kept, Span(mark[:cells]))

    def cell(self, text: str, cells: int, style: Style = Style.PLAIN, *, right: bool = False) -> Span:
        """A piece of exactly that many cells: a field of a table."""
        seen = shown(text, self.ascii_only)
        if (short := cells - cell_len(seen)) >= 0:
            return Span(" " * short + seen if right else seen + " " * short, style)
        mark = shown("…", self.ascii_only)
        return Span((set_cell_size(seen, max(cells - len(mark), 0)) + mark)[:cells], style)

    def wrapped(
        self, text: str, cells: int, first: str = "", others: str = "", style: Style = Style.PLAIN
    ) -> list[Line]:
        """A paragraph of lines no longer than that, broken between words where that can be."""
        lines: list[Line] = []
        lead, rest = first, ""
        for word in shown(text, self.ascii_only).split(" "):
            room = max(cells - cell_len(lead), 1)
            candidate = f"{rest} {word}" if rest else word
            if cell_len(candidate) <= room:
                rest = candidate
                continue
            if rest:
                lines.append((Span(lead), Span(rest, style)))
                lead = others
            rest = word
            while cell_len(rest) > (room := max(cells - cell_len(lead), 1)):
                head = set_cell_size(rest, room).rstrip(" ") or rest[:1]
                lines.append((Span(lead), Span(head, style)))
                rest, lead = rest[len(head) :], others
        if rest or not lines:
            lines.append((Span(lead), Span(rest, style)))
        return lines

    def bar(self, share: float, cells: int) -> str:
        """A share of 1 as a bar."""
        return shown("█" * round(max(0.0, min(share, 1.0)) * cells), self.ascii_only).ljust(cells)

    def sparks(self, figures: Iterable[float | None], cells: int) -> str:
        """The last of these figures as little bars, the greatest the highest; a gap where nothing is known."""
        last = list(figures)[-cells:]
        top = max((figure for figure in last if figure), default=0.0)
        drawn = "".join(
            " " if figure is None else _BARS[0] if not top else _BARS[min(7, int(figure / top * 7.999))]
            for figure in last
        )
        return shown(drawn, self.ascii_only).rjust(cells)


def width(line: Line) -> int:
    """In cells."""
    return sum(cell_len(span.text) for span in line)


def plain(line: Line) -> str:
    """Its text alone."""
    return "".join(span.text for span in line)


def styled(line: Line, style: Style) -> Line:
    """The same, all of it so."""
    return tuple(Span(span.text, style) for span in line)
