"""The first page: what is wrong, worst first; then queues, workers, breakers, failures and changes."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pointsman_client.answer import JsonObject
from pointsman_client.top.page.queues import queue_rows
from pointsman_client.top.page.row import Row, Section, arranged
from pointsman_client.top.page.words import error_of, named, shape, style_of
from pointsman_client.top.page.workers import workers_line
from pointsman_client.top.pen import Line, Pen, Style
from pointsman_client.top.saying import UNKNOWN, both, clock, counted, number, parsed, percent, whole_span
from pointsman_client.top.targets import Kind, Target

_LABEL = 10


def now_rows(now: JsonObject, workers: JsonObject | None, width: int, pen: Pen, at: datetime) -> list[Row]:
    """All of it."""
    return [row for section in _sections(now, workers, width, pen, at) for row in section.rows]


def now_rows_in(
    now: JsonObject, workers: JsonObject | None, width: int, lines: int, pen: Pen, at: datetime
) -> tuple[list[Row], list[str]]:
    """As much of it as fits into that many lines, and what there is no room for at all, by name."""
    return arranged(list(_sections(now, workers, width, pen, at)), lines, pen)


def _sections(now: JsonObject, workers: JsonObject | None, width: int, pen: Pen, at: datetime) -> Iterator[Section]:
    causes = now.get("causes") or []
    verdict = now.get("verdict")
    if verdict != "degraded" and not (verdict == "unknown" and now.get("unknown")):
        rows = [Row(line) for line in _sentence(pen, str(now.get("sentence")), width, verdict, Style.STRONG)]
        yield Section(rows, len(rows))
    for index, cause in enumerate(causes):
        rows = cause_rows(cause, width, pen)
        yield Section(rows, 2 if index == 0 else 1 if index < 4 else 0, "more lines of it: Enter shows them", "")
    if len(causes) > 4:
        yield Section([Row(pen.line(pen.span(f"  in all {len(causes)} things are wrong", Style.DIM)))], 1, name="")
    unknown = [Row(line) for one in now.get("unknown") or () for line in _unknown(one, width, pen, at)]
    yield Section(unknown, 1, name="what is not known")
    head, queues = queue_rows(now.get("queues") or [], width, pen)
    if queues:
        yield Section([head, *queues], 7, "more queues: 3 shows them", "3 queues")
    yield Section([Row(workers_line(workers, pen))], 1, name="4 workers")
    yield Section(list(_running(now, pen, at)), 1, "more that runs", "what runs")
    yield Section(list(_breakers(now, pen, at)), 2, "more breakers: 5 shows them", "5 breakers")
    yield Section([Row(_alerts(now, causes, pen))], 1, name="6 alerts")
    yield Section(list(_failures(now, pen, at)), 2, "more failures: 7 shows them", "7 failures")
    yield Section(list(_lately(now, pen)), 0, "more that do otherwise", "what does otherwise than before")
    yield Section(list(_changes(now, pen, at)), 1, "more changes", "changes")
    yield Section([Row(_hour(now, pen))] if causes and now.get("last_hour") else [], 0, name="the last hour")


def cause_rows(cause: dict[str, Any], width: int, pen: Pen) -> list[Row]:
    """A cause: what is wrong, what that does, what is done about it, and the first thing to do."""
    target = target_of(cause)
    severity = cause.get("severity")
    known = cause.get("acknowledged")
    said = str(cause.get("sentence") or text_of(cause.get("parts"))) + (
        f" (known to {known.get('who')})" if known else ""
    )
    lines = _sentence(pen, said, width, severity, Style.STRONG)
    rest = [text_of(sentence) for sentence in cause.get("consequences") or ()] + [text_of(cause.get("being_done"))]
    if more := " ".join(filter(None, rest)):
        lines += pen.wrapped(more, width, "  ", "  ")
    for remedy in (cause.get("remedies") or ())[:1]:
        said = " ".join(filter(None, (remedy.get("text"), remedy.get("command"))))
        lines += pen.wrapped(f"→ {said}", width, "  ", "    ", Style.DIM)
    return [Row(line, target if index == 0 else None) for index, line in enumerate(lines)]


def target_of(cause: dict[str, Any]) -> Target:
    """A cause keeps its name while it lasts."""
    return Target(Kind.CAUSE, f"{cause.get('kind')} {cause.get('subject')}")


def text_of(parts: Any) -> str:
    """A sentence in pieces, as text."""
    return "".join(str(part.get("text")) for part in parts or ())


def _sentence(pen: Pen, text: str, width: int, state: object, style: Style) -> list[Line]:
    first, *others = pen.wrapped(text, width - 2, style=style)
    return [
        pen.line(shape(pen, state), " ", *first),
        *(pen.line("  ", *line) for line in others),
    ]


def _unknown(one: dict[str, Any], width: int, pen: Pen, at: datetime) -> list[Line]:
    since = parsed(one.get("since"))
    when = "" if since is None else f", since {both(since, at)}"
    return _sentence(pen, f"{one.get('what')} not known{when}: {one.get('why')}", width, "unknown", Style.WARN)


def _is_blind(now: JsonObject) -> bool:
    """Whether nobody could tell what there is: what tells of it is away."""
    return any(one.get("what") == "database" for one in now.get("unknown") or ())


def _running(now: JsonObject, pen: Pen, at: datetime) -> Iterator[Row]:
    """While nothing else is known: what workers say that they run."""
    for index, run in enumerate(now.get("running") or ()):
        since = parsed(run.get("since"))
        when = "" if since is None else f", since {both(since, at)}"
        said = f"{run.get('task_id')} on {run.get('worker')}{when}"
        yield Row(pen.line(*_labelled("running" if index == 0 else "", pen), said))


def _labelled(label: str, pen: Pen) -> Line:
    return (pen.cell(label, _LABEL, Style.DIM),)


def _breakers(now: JsonObject, pen: Pen, at: datetime) -> Iterator[Row]:
    found = now.get("breakers") or []
    for index, breaker in enumerate(found):
        name = f"{breaker.get('scope')}:{breaker.get('name')}"
        probe = parsed(breaker.get("next_probe_at"))
        held = breaker.get("held")
        error = breaker.get("error") or {}
        said = [
            _tried(probe, at, breaker.get("state")),
            "" if not held else f"{number(held)} held",
            "" if not breaker.get("by") else ": ".join(filter(None, (f"by {breaker['by']}", breaker.get("reason")))),
            "" if not error else error_of(error),
        ]
        line = pen.line(
            *_labelled("breakers" if index == 0 else "", pen),
            named(pen, breaker.get("state")), " ", name, pen.span("  " + " · ".join(filter(None, said)), Style.DIM),
        )  # fmt: skip
        yield Row(line, Target(Kind.BREAKER, name))
    in_all = now.get("breakers_in_all")
    if not found:
        yield Row(pen.line(*_labelled("breakers", pen), "none open" if in_all is not None else "not known"))


def _tried(probe: datetime | None, at: datetime, state: object) -> str:
    if probe is not None and probe > at:
        return f"tried again in {whole_span((probe - at).total_seconds())}"
    # That its moment is over says nothing of when something calls.
    return "its next call is tried" if probe is not None or state == "half_open" else ""


def _alerts(now: JsonObject, causes: list[Any], pen: Pen) -> Line:
    if not causes and _is_blind(now):
        return pen.line(*_labelled("alerts", pen), "not known")
    count = sum(len(cause.get("alert_ids") or ()) for cause in causes)
    known = sum(len(cause.get("alert_ids") or ()) for cause in causes if cause.get("acknowledged"))
    said = (
        "none open" if not count else f"{counted(count, 'alert')} open" + (f", {known} acknowledged" if known else "")
    )
    return pen.line(*_labelled("alerts", pen), said)


def _failures(now: JsonObject, pen: Pen, at: datetime) -> Iterator[Row]:
    found = now.get("errors") or []
    for index, error in enumerate(found):
        badge, since = error.get("badge"), parsed(error.get("since"))
        mark = [] if not badge else [pen.span(f"{badge} ", style_of(badge))]
        when = "" if since is None else f" since {clock(since, at)}"
        line = pen.line(
            *_labelled("failures" if index == 0 else "", pen), *mark, f"{number(error.get('count'))} × ",
            str(error.get("task_type")), pen.span(f"{when}  {error.get('label')}", Style.DIM),
        )  # fmt: skip
        yield Row(line, Target(Kind.ERROR, str(error.get("id"))))
    if not found:
        said = "not known" if _is_blind(now) else "none in the last hour"
        yield Row(pen.line(*_labelled("failures", pen), said))


def _lately(now: JsonObject, pen: Pen) -> Iterator[Row]:
    for shift in now.get("lately") or ():
        before, after = shift.get("before"), shift.get("now")
        if shift.get("figure") == "failure_rate":
            said = f"fails {percent(after)} of the time, before {percent(before)}"
        else:
            said = f"takes {whole_span(after)} (p95), before {whole_span(before)}"
        yield Row(pen.line(*_labelled("lately", pen), f"{shift.get('task_type')} {said}"))


def _changes(now: JsonObject, pen: Pen, at: datetime) -> Iterator[Row]:
    for index, change in enumerate(now.get("changes") or ()):
        reason = change.get("reason")
        said = f"{clock(parsed(change.get('at')), at)} {text_of(change.get('what'))} by {change.get('actor')}"
        line = pen.line(
            *_labelled("changed" if index == 0 else "", pen), said,
            pen.span(f": {reason}" if reason else "", Style.DIM),
        )  # fmt: skip
        yield Row(line)


def _hour(now: JsonObject, pen: Pen) -> Line:
    hour = now.get("last_hour") or {}
    said = (
        f"{counted(int(hour.get('tasks') or 0), 'task')}, {percent(hour.get('started_within_target'))} started within"
        f" target, {number(hour.get('failed'))} failed for good"
    )
    return pen.line(*_labelled("last hour", pen), said if hour else UNKNOWN)
