"""The frame of a report: one HTML file that loads nothing, for light and dark screens and for paper."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pointsman.shipped.reports.charts import grade
from pointsman.shipped.reports.words import count, escape, percent

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
_HATCH = (
    '<svg class="hidden" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="6" '
    'stroke-width="3"/></pattern></defs></svg>'
)


def page(title: str, kicker: str, subtitle: str, body: Sequence[str], made_at: datetime) -> str:
    """A whole document. ``body`` is HTML, everything else is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">\n"""
        f"<title>{escape(kicker)}: {escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        f"<body>\n{_HATCH}\n<main>\n"
        f"<header><p>{escape(kicker)}</p><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>\n"
        + "\n".join(body)
        + f"\n<footer>Made {made_at:%Y-%m-%d %H:%M} UTC by Pointsman. Times are in UTC. Percentiles are within 5 %."
        "</footer>\n</main>\n</body>\n</html>\n"
    )


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Headline figures: name, value, a remark."""
    cells = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>'
        for name, value, remark in figures
    )
    return f'<dl class="tiles">{cells}</dl>'


def section(title: str, note: str, *parts: str) -> str:
    """A heading, a sentence, and HTML."""
    return f'<section><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{"".join(parts)}</section>'


def legend(*entries: tuple[str, str]) -> str:
    """Style and name of each colour."""
    items = "".join(f'<li><i class="{style}"></i>{escape(name)}</li>' for style, name in entries)
    return f'<ul class="legend">{items}</ul>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] | None = None) -> str:
    """Heads are text, cells are HTML; a cell that begins with an SVG is a bar."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    lines = [_row(row, "") for row in rows]
    if total is not None:
        lines.append(_row(total, ' class="total"'))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def failed_cell(failed: int, success_rate: float | None) -> str:
    """A count, marked when it is more than a hundredth of all."""
    return f'<span class="bad-text">{count(failed)}</span>' if failed and (success_rate or 0) < 0.99 else count(failed)


def sla_cell(share: float | None) -> str:
    """A share, marked when it is bad."""
    if share is not None and grade(share) == "bad":
        return f'<span class="bad-text">{percent(share)}</span>'
    return percent(share)


def _row(cells: Sequence[str], style: str) -> str:
    inner = "".join(
        f'<td class="bars">{cell}</td>' if cell.startswith("<svg") else f"<td>{cell}</td>" for cell in cells
    )
    return f"<tr{style}>{inner}</tr>"
