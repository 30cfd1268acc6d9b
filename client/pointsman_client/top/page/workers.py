"""Workers: in a line, and each on its own."""

from typing import Any

from pointsman_client.answer import JsonObject
from pointsman_client.top.page.row import Row
from pointsman_client.top.page.table import Column, body, fitting, head
from pointsman_client.top.page.words import named
from pointsman_client.top.pen import Line, Pen, Span, Style
from pointsman_client.top.saying import UNKNOWN, percent, whole_span
from pointsman_client.top.targets import Kind, Target

_COLUMNS = (
    Column("worker", 26, grows=True),
    Column("pool", 13),
    Column("busy", 6, right=True),
    Column("used", 8, right=True, from_width=100),
    Column("last beat", 9, right=True),
    Column("state", 14),
    Column("queues", 20, from_width=110, grows=True),
)
_LABEL = 10


def state_of(worker: dict[str, Any]) -> str:
    """In a word."""
    if worker.get("live") is None:
        return "unknown"
    if not worker["live"]:
        return "gone" if worker.get("left") else "silent"
    if worker.get("ejected"):
        return "ejected"
    return "on probation" if worker.get("on_probation") else "live"


def worker_rows(workers: list[Any], width: int, pen: Pen) -> tuple[Row, list[Row]]:
    """The head and the lines."""
    columns = fitting(_COLUMNS, width)
    return Row(head(pen, columns)), [
        Row(body(pen, columns, _fields(worker, pen)), Target(Kind.WORKER, str(worker.get("name"))))
        for worker in workers
    ]


def workers_line(workers: JsonObject | None, pen: Pen) -> Line:
    """All of them in a line, with those that need somebody by name."""
    label = pen.cell("workers", _LABEL, Style.DIM)
    if workers is None:
        return pen.line(label, pen.span("not known", Style.DIM))
    items = workers.get("items") or []
    states = [state_of(worker) for worker in items]
    living = [worker for worker, state in zip(items, states, strict=True) if state not in ("gone", "silent", "unknown")]
    processes = sum(int(worker.get("processes") or 0) for worker in living)
    busy = sum(int(worker.get("busy") or 0) for worker in living)
    said = f"{len(living)} live, {busy} of {processes} processes busy"
    parts: list[str | Span] = [label, said]
    troubled = [
        (worker, state) for worker, state in zip(items, states, strict=True) if state not in ("gone", "live", "unknown")
    ]
    for worker, state in troubled[:3]:
        age = f" {whole_span(worker.get('heartbeat_age_seconds'))}" if state == "silent" else ""
        parts += [" · ", named(pen, state), f"{age} {worker.get('name')}"]
    if len(troubled) > 3:
        parts.append(f" · {len(troubled) - 3} more: 4 shows them")
    if "unknown" in states:
        parts.append(pen.span(f" · of {states.count('unknown')} it is not known", Style.WARN))
    return pen.line(*parts)


def _fields(worker: dict[str, Any], pen: Pen) -> dict[str, str | Span]:
    busy = worker.get("busy")
    return {
        "worker": str(worker.get("name")),
        "pool": str(worker.get("pool")),
        "busy": f"{UNKNOWN if busy is None else busy}/{worker.get('processes')}",
        "used": percent(worker.get("utilization")),
        "last beat": whole_span(worker.get("heartbeat_age_seconds")),
        "state": named(pen, state_of(worker)),
        "queues": ", ".join(worker.get("queues") or ()),
    }
