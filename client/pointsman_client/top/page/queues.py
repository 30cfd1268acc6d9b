"""A line for each queue."""

from typing import Any

from pointsman_client.top.page.row import Row
from pointsman_client.top.page.table import Column, body, fitting, head
from pointsman_client.top.page.words import named
from pointsman_client.top.pen import Pen, Span
from pointsman_client.top.saying import UNKNOWN, number, percent, span, whole_span
from pointsman_client.top.targets import Kind, Target

_COLUMNS = (
    Column("queue", 13, grows=True),
    Column("target", 6, right=True),
    Column("met today", 9, right=True),
    Column("", 8, from_width=100),
    Column("waits", 6, right=True),
    Column("oldest", 7, right=True),
    Column("95 % in", 8, right=True),
    Column("in/out a min", 12, right=True),
    Column("lately", 12, from_width=120),
    Column("busy", 6, right=True, from_width=96),
    Column("state", 11),
    Column("because", 24, from_width=130, grows=True),
)


def queue_rows(queues: list[Any], width: int, pen: Pen) -> tuple[Row, list[Row]]:
    """The head and the lines."""
    columns = fitting(_COLUMNS, width)
    return Row(head(pen, columns)), [
        Row(body(pen, columns, _fields(queue, pen)), Target(Kind.QUEUE, str(queue.get("name")))) for queue in queues
    ]


def _fields(queue: dict[str, Any], pen: Pen) -> dict[str, str | Span]:
    met, predicted = queue.get("met_today"), queue.get("predicted") or {}
    busy, processes = queue.get("busy"), queue.get("processes")
    return {
        "queue": str(queue.get("name")),
        "target": span(queue.get("sla_seconds")),
        "met today": percent(met),
        "": "" if met is None else pen.bar(met, 8),
        "waits": number(queue.get("waiting")),
        "oldest": whole_span(queue.get("oldest_wait_seconds")),
        "95 % in": span(predicted.get("p95_seconds")),
        "in/out a min": f"{number(queue.get('in_per_minute'))}/{number(queue.get('out_per_minute'))}",
        "lately": pen.sparks(queue.get("in_series") or (), 12),
        "busy": UNKNOWN if processes is None else f"{'?' if busy is None else busy}/{processes}",
        "state": named(pen, queue.get("state")),
        "because": queue.get("state_reason") or "",
    }
