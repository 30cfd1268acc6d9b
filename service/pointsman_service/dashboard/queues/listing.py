"""All queues beside their targets; and one: why it waits, how it does, and over time."""

import asyncio
from collections.abc import Sequence
from typing import Final

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.charts import Chart, Line, chart
from pointsman_service.dashboard.components.figures import label, some
from pointsman_service.dashboard.components.windows import HOUR, WINDOWS, Window
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Hit, View
from pointsman_service.dashboard.queues.here import page
from pointsman_service.dashboard.queues.rows import Row, row_of, rows_of
from pointsman_service.dashboard.queues.set_aside import newest_of
from pointsman_service.observe import history
from pointsman_service.observe.history import History

_MESSAGES: Final = 5


@page.shows()
async def show_list(ask: Ask) -> View:
    """Every queue."""
    found = await rows_of(ask)
    aside = [row.figures.set_aside for row in found.rows]
    wrong = sum(row.state in ("no_worker", "late", "missed") for row in found.rows)
    return View(
        template="queues/list.html",
        title=f"{wrong} not within target" if wrong else "within target",
        says=_says(found.rows),
        missing=found.missing,
        values={"rows": found.rows, "set_aside": sum(one or 0 for one in aside) if None not in aside else None},
    )


@page.shows("{name}")
async def show_queue(ask: Ask) -> View:
    """One queue."""
    row, missing = await row_of(ask)
    window = WINDOWS[ask.chosen("window", {word: word for word in WINDOWS}) or HOUR.word]
    explained, charts, messages = await asyncio.gather(
        ask.parts.views.explainer.of_queue(row.name, reads_payloads=ask.caller.reads_payloads),
        _charts(ask, row, window),
        newest_of(ask, row, _MESSAGES),
    )
    return View(
        template="queues/queue.html",
        title=f"{label(row.state)}: {row.name}",
        says=f"{row.name} is {label(row.state)}; {some(row.figures.depth, 'task waits', 'tasks wait')}.",
        missing=missing,
        values={
            "row": row,
            "queue": row.figures,
            "explained": explained,
            "charts": charts,
            "messages": messages,
            "window": window,
            "windows": [
                (one, ask.links("queues", row.name, window=None if one is HOUR else one.word))
                for one in WINDOWS.values()
            ],
        },
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """Queues by their names."""
    low = words.lower()
    names = [spec.name for spec in ask.parts.settings.topology.queues]
    return [Hit(name, place("queues", name), "queue") for name in names if low in name.lower()]


def _says(rows: Sequence[Row]) -> str:
    told = [f"{row.name} is {label(row.state)}" for row in rows if row.state != "ok"]
    return f"{'; '.join(told)}." if told else "Every queue starts its tasks in time."


async def _charts(ask: Ask, row: Row, window: Window) -> Sequence[Chart]:
    """They are drawn once: who looks on is told figures, and loads the page again for these."""
    if ask.live:
        return ()
    found = await ask.parts.views.history.read(
        "queue",
        (),
        window.seconds,
        history.usual_step(window.seconds),
        name=row.name,
    )
    return charts_of(found, row)


def charts_of(found: History, row: Row) -> Sequence[Chart]:
    """In and out, what waits, and for how long, on the same span."""
    points = found.points[row.name]
    times = [point.at for point in points]

    def line(word: str, figure: str, factor: float = 1.0, *, high: bool = False) -> Line:
        values = [point.figures[figure] for point in points]
        return Line(word, [None if one is None else (one.high if high else one.avg) * factor for one in values])

    return (
        chart(
            "In and out a minute",
            times,
            found.until,
            [line("in", "arrival_rate", 60.0), line("out", "service_rate", 60.0)],
            "number",
        ),
        chart(
            "Oldest wait",
            times,
            found.until,
            [
                line("oldest wait", "oldest_wait_seconds", high=True),
                Line("target", [row.figures.sla_seconds if point.samples else None for point in points]),
            ],
            "seconds",
        ),
        chart(
            "Tasks",
            times,
            found.until,
            [line("due and waiting", "depth"), line("running", "running"), line("held", "held")],
            "number",
        ),
        chart(
            "On the broker",
            times,
            found.until,
            [line("tasks", "on_broker"), line("at most", "window")],
            "number",
        ),
        chart("Processes that take from it", times, found.until, [line("processes", "consumers")], "number"),
    )
