"""A line for each task, breaker, alert and error group."""

from datetime import datetime
from typing import Any

from pointsman_client.top.page.row import Row
from pointsman_client.top.page.table import Column, body, fitting, head
from pointsman_client.top.page.words import attempt_of, error_of, named
from pointsman_client.top.pen import Pen, Span
from pointsman_client.top.saying import clock, number, parsed, span, whole_span
from pointsman_client.top.targets import Kind, Target

Fields = dict[str, str | Span]

_TASKS = (
    Column("submitted", 9),
    Column("task type", 22, grows=True),
    Column("state", 12),
    Column("queue", 13),
    Column("attempt", 7, right=True),
    Column("ran", 6, right=True),
    Column("task", 36, from_width=128),
    Column("error", 20, from_width=150, grows=True),
)
_BREAKERS = (
    Column("breaker", 26),
    Column("state", 13),
    Column("since", 9),
    Column("again in", 8, right=True),
    Column("failures", 8, right=True, from_width=100),
    Column("last error", 7, grows=True),
)
_ALERTS = (
    Column("severity", 9),
    Column("since", 9),
    Column("what", 30, grows=True),
    Column("rule", 22, from_width=120),
    Column("known to", 10),
)
_ERRORS = (
    Column("day", 6, right=True),
    Column("badge", 12),
    Column("last seen", 9),
    Column("task type", 20, from_width=60),
    Column("error", 20, grows=True),
    Column("tasks", 6, right=True),
)


def task_rows(items: list[Any], width: int, pen: Pen, at: datetime) -> tuple[Row, list[Row]]:
    """The newest first."""
    columns = fitting(_TASKS, width)

    def line(task: dict[str, Any]) -> Row:
        error = task.get("error") or {}
        fields: Fields = {
            "submitted": clock(parsed(task.get("submitted_at")), at),
            "task type": str(task.get("task_type")),
            "state": named(pen, task.get("state")),
            "queue": str(task.get("queue")),
            "attempt": attempt_of(task, "/"),
            "ran": span(task.get("run_seconds")),
            "task": str(task.get("id")),
            "error": error_of(error) if error else "",
        }
        return Row(body(pen, columns, fields), Target(Kind.TASK, str(task.get("id"))))

    return Row(head(pen, columns)), [line(task) for task in items]


def breaker_rows(items: list[Any], width: int, pen: Pen, at: datetime) -> tuple[Row, list[Row]]:
    """Those that hold something back first."""
    columns = fitting(_BREAKERS, width)

    def line(breaker: dict[str, Any]) -> Row:
        name = f"{breaker.get('scope')}:{breaker.get('name')}"
        override, error = breaker.get("override") or {}, breaker.get("last_error") or {}
        retry = parsed(breaker.get("retry_at"))
        fields: Fields = {
            "breaker": name,
            "state": named(pen, override.get("state") or breaker.get("state")),
            "since": clock(parsed(breaker.get("opened_at")), at),
            "again in": "now" if retry is not None and retry <= at else whole_span(_ahead(retry, at)),
            "failures": number(breaker.get("failures")),
            "last error": error_of(error) if error else "",
        }
        return Row(body(pen, columns, fields), Target(Kind.BREAKER, name))

    ordered = sorted(
        items, key=lambda one: (one.get("state") == "closed" and not one.get("override"), str(one.get("name")))
    )
    return Row(head(pen, columns)), [line(breaker) for breaker in ordered]


def _ahead(moment: datetime | None, at: datetime) -> float | None:
    return None if moment is None else (moment - at).total_seconds()


def alert_rows(items: list[Any], width: int, pen: Pen, at: datetime) -> tuple[Row, list[Row]]:
    """Those that are open."""
    columns = fitting(_ALERTS, width)

    def line(alert: dict[str, Any]) -> Row:
        known = alert.get("acknowledged") or {}
        fields: Fields = {
            "severity": named(pen, alert.get("severity")),
            "since": clock(parsed(alert.get("since")), at),
            "what": str(alert.get("summary")),
            "rule": str(alert.get("rule")),
            "known to": str(known.get("who") or ""),
        }
        return Row(body(pen, columns, fields), Target(Kind.ALERT, str(alert.get("id"))))

    return Row(head(pen, columns)), [line(alert) for alert in items]


def error_rows(items: list[Any], width: int, pen: Pen, at: datetime) -> tuple[Row, list[Row]]:
    """Failures by what they have in common."""
    columns = fitting(_ERRORS, width)

    def line(group: dict[str, Any]) -> Row:
        badge = "new" if group.get("new") else "back again" if group.get("back_again") else ""
        fields: Fields = {
            "day": number(group.get("count")),
            "badge": named(pen, badge or group.get("state")),
            "last seen": clock(parsed(group.get("last_seen_at")), at),
            "task type": str(group.get("task_type")),
            "error": error_of(group),
            "tasks": number(group.get("failed_tasks")),
        }
        return Row(body(pen, columns, fields), Target(Kind.ERROR, str(group.get("id"))))

    return Row(head(pen, columns)), [line(group) for group in items]
