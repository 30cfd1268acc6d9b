"""Charts as inline SVG. Colours come from the page's style sheet, so that they follow its theme and print."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pointsman.shipped.reports.words import count, escape, percent, seconds

Values = Sequence[float | None]
"""One for each step; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One colour of a column chart."""

    name: str
    style: str
    """``good`` or ``bad``."""
    values: Values


def columns(
    labels: Sequence[str], stacks: Sequence[Stack], description: str, ahead: Sequence[bool] | None = None
) -> str:
    """Stacked columns of counts. A step of which nothing is known is hatched, unless it is still ``ahead``."""
    width, height, left, top, bottom = 960, 250, 52, 10, 26
    sums = [_sum([stack.values[n] for stack in stacks]) for n in range(len(labels))]
    ticks = _ticks(max((total for total in sums if total is not None), default=0))
    scale = (height - top - bottom) / ticks[-1]
    floor = height - bottom
    slot = (width - left) / max(len(labels), 1)
    bar = slot * 0.74
    parts = [_grid(left, width, floor, scale, ticks)]
    every = math.ceil(len(labels) / 16)
    for n, label in enumerate(labels):
        x = left + slot * n + (slot - bar) / 2
        if sums[n] is None and not (ahead and ahead[n]):
            parts.append(
                f'<rect class="unknown" x="{x:.1f}" y="{top}" width="{bar:.1f}" height="{floor - top}">'
                f"<title>{escape(label)}: no figures</title></rect>"
            )
        y = float(floor)
        for stack in stacks:
            value = stack.values[n]
            if not value:
                continue
            # A failure among many thousands of successes must not vanish.
            tall = max(value * scale, 1.5)
            y -= tall
            parts.append(
                f'<rect class="{stack.style}" x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{tall:.1f}">'
                f"<title>{escape(label)}: {count(value)} {escape(stack.name)}</title></rect>"
            )
        if n % every == 0:
            parts.append(f'<text class="x" x="{x + bar / 2:.1f}" y="{height - 8}">{escape(label)}</text>')
    return _wide(_svg(width, height, description, parts, style="chart wide"))


def waits(labels: Sequence[str], values: Values, target_seconds: float, description: str) -> str:
    """A line of durations below, or above, the line of their target."""
    width, height, left, top, bottom = 300, 104, 4, 8, 6
    worst = max((value for value in values if value is not None), default=0.0)
    scale = (height - top - bottom) / (max(worst, target_seconds) * 1.12)
    floor = height - bottom
    step = (width - left * 2) / max(len(values) - 1, 1)
    points = [None if value is None else (left + step * n, floor - value * scale) for n, value in enumerate(values)]
    target = floor - target_seconds * scale
    parts = [
        f'<line class="axis" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>',
        f'<line class="target" x1="0" x2="{width}" y1="{target:.1f}" y2="{target:.1f}"/>',
    ]
    for run in _runs(points):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        if len(run) > 1:
            parts.append(f'<polyline class="line" points="{line}"/>')
    for n, point in enumerate(points):
        if point is not None:
            style = "dot over" if (values[n] or 0) > target_seconds else "dot"
            parts.append(
                f'<circle class="{style}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="2.2">'
                f"<title>{escape(labels[n])}: {seconds(values[n])}</title></circle>"
            )
    return _svg(width, height, description, parts)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What is drawn of each day."""

    counts: Mapping[date, int]
    """Only days of which something is known."""
    today: date
    """Days after it are ahead."""


def calendar(found: Calendar, days: Sequence[date], description: str) -> str:
    """A square a day and a column a week, in four shades; a day of which nothing is known is grey."""
    side, top = 17, 18
    busiest = max(found.counts.values(), default=0)
    first = days[0] - timedelta(days=days[0].weekday())
    parts = []
    for day in days:
        x = (day - first).days // 7 * side
        y = top + day.weekday() * side
        known = found.counts.get(day)
        if known is None:
            style, words = ("ahead", "still to come") if day > found.today else ("none", "no figures")
        else:
            style, words = f"l{max(math.ceil(4 * known / busiest), 1) if busiest else 1}", count(known)
        parts.append(
            f'<rect class="day {style}" x="{x}" y="{y}" width="{side - 2}" height="{side - 2}" rx="2">'
            f"<title>{day.isoformat()}: {words}</title></rect>"
        )
        if day.day == 1:
            parts.append(f'<text x="{x}" y="{top - 6}">{day:%b}</text>')
    return _wide(_svg(54 * side, top + 7 * side, description, parts, style="chart wide"))


def share_bar(share: float | None, description: str) -> str:
    """A small bar for a table. Its colour says how good the share is, as the number beside it does."""
    if share is None:
        return ""
    width, height = 110, 10
    filled = max(share * width, 1.0)
    return _svg(
        width,
        height,
        f"{description}: {percent(share)}",
        [
            f'<rect class="track" width="{width}" height="{height}" rx="2"/>',
            f'<rect class="{grade(share)}" width="{filled:.1f}" height="{height}" rx="2"/>',
        ],
        style="bar",
    )


def grade(share: float) -> str:
    """``good``, ``fair`` or ``bad``."""
    if share >= 0.99:
        return "good"
    return "fair" if share >= 0.95 else "bad"


def _grid(left: float, right: float, floor: float, scale: float, ticks: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{left}" x2="{right}" y1="{floor - tick * scale:.1f}" y2="{floor - tick * scale:.1f}"/>'
        f'<text class="y" x="{left - 8}" y="{floor - tick * scale + 4:.1f}">{count(tick)}</text>'
        for tick in ticks
    )


def _ticks(highest: float) -> list[float]:
    """Round whole numbers from 0 to at least ``highest``, about five."""
    rough = max(highest, 1) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 2.5, 5, 10) if magnitude >= 10 else (1, 2, 5, 10)
    step = max(next(factor * magnitude for factor in factors if factor * magnitude >= rough), 1.0)
    return [step * n for n in range(math.ceil(max(highest, 1) / step) + 1)]


def _sum(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _wide(svg: str) -> str:
    """Scrolls on a narrow screen, where its words would be too small to read."""
    return f'<div class="scroll">{svg}</div>'


def _svg(width: int, height: int, description: str, parts: Sequence[str], style: str = "chart") -> str:
    return (
        f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">'
        f"{''.join(parts)}</svg>"
    )
