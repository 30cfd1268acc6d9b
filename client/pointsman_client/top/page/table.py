"""Tables: columns of fixed width, and a last one that takes what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman_client.top.pen import Line, Pen, Span, Style


@dataclass(frozen=True, slots=True)
class Column:
    """One of them."""

    head: str
    cells: int
    """Its width; of the last column the least."""
    right: bool = False
    from_width: int = 0
    """Is left out on a narrower screen."""
    grows: bool = False
    """Takes a share of what is left, as the last one does."""


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Those for a screen of this width, as wide as they become there."""
    kept = [column for column in columns if column.from_width <= width]
    spare = width - sum(column.cells for column in kept) - len(kept) + 1
    growing = [column for column in kept if column.grows] or kept[-1:]
    share, rest = divmod(max(spare, 0), len(growing))
    wide = {id(column): column.cells + share + (rest if column is growing[-1] else 0) for column in growing}
    return [
        Column(column.head, wide.get(id(column), column.cells), column.right, column.from_width, column.grows)
        for column in kept
    ]


def head(pen: Pen, columns: Sequence[Column]) -> Line:
    """The line of their names."""
    return _joined([pen.cell(column.head, column.cells, Style.DIM, right=column.right) for column in columns])


def body(pen: Pen, columns: Sequence[Column], fields: Mapping[str, str | Span]) -> Line:
    """A line of the table, by the names of columns; what no column has is left out."""
    cells = []
    for column in columns:
        value = fields.get(column.head, "")
        text, style = (value.text, value.style) if isinstance(value, Span) else (value, Style.PLAIN)
        cells.append(pen.cell(text, column.cells, style, right=column.right))
    return _joined(cells)


def _joined(cells: Sequence[Span]) -> Line:
    line: list[Span] = []
    for cell in cells:
        if line:
            line.append(Span(" "))
        line.append(cell)
    return tuple(line)
