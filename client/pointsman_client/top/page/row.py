"""Lines that lead somewhere, and how many of them there is room for."""

from collections.abc import Sequence
from dataclasses import dataclass

from pointsman_client.top.pen import Line, Pen, Style
from pointsman_client.top.targets import Target


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a page."""

    line: Line
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that belong together, and how few of them still say what matters."""

    rows: Sequence[Row]
    least: int
    more: str = "more"
    """What is left out, after its number."""
    name: str = "more"
    """What is left out where there is no room for any of it; empty: something else says so."""


def arranged(sections: Sequence[Section], lines: int, pen: Pen) -> tuple[list[Row], list[str]]:
    """As much of each as there is room for: the least of all of them first, then the rest, in their order. What is left
    out is counted; and the names of those that there is no room for at all.
    """
    given = _shares(sections, lines)
    found: list[Row] = []
    for section, room in zip(sections, given, strict=True):
        if room == len(section.rows):
            found += section.rows
        elif room:
            hidden = len(section.rows) - room + 1
            found += section.rows[: room - 1]
            found.append(Row(pen.line(pen.span(f"  … {hidden} {section.more}", Style.DIM))))
    without = [one.name for one, room in zip(sections, given, strict=True) if one.rows and not room and one.name]
    return found[: max(lines, 0)], without


def _shares(sections: Sequence[Section], lines: int) -> list[int]:
    """How many lines each has."""
    given = []
    left = lines
    for section in sections:
        given.append(min(len(section.rows), section.least, max(left, 0)))
        left -= given[-1]
    for index, section in enumerate(sections):
        more = min(len(section.rows) - given[index], max(left, 0))
        given[index] += more
        left -= more
    return given
