"""Styles as a terminal's own colours."""

from collections.abc import Callable

from pointsman_client.top.pen import Line, Style, plain

Paint = Callable[[Line], str]
"""A line as what is written."""

# Of the terminal's own palette: it fits its background, light or dark.
CODES = {
    Style.PLAIN: "",
    Style.STRONG: "1",
    Style.DIM: "2",
    Style.GOOD: "32",
    Style.WARN: "33",
    Style.BAD: "1;31",
    Style.CHOSEN: "7",
    Style.BANNER: "1;7",
}
_COLOURS = {Style.GOOD: "", Style.WARN: "", Style.BAD: "1"}
"""What is left of a colour without it."""


def painter(*, escapes: bool, colours: bool) -> Paint:
    """Writes with neither, with bold and reverse alone (``NO_COLOR``), or with both."""
    if not escapes:
        return plain
    codes = CODES if colours else CODES | _COLOURS

    def paint(line: Line) -> str:
        return "".join(
            f"\033[{codes[span.style]}m{span.text}\033[0m" if codes[span.style] else span.text for span in line
        )

    return paint
