"""What is wrong, written out: causes, alerts, error groups."""

from collections.abc import Iterator

from pointsman_client.top.page.now import target_of, text_of
from pointsman_client.top.page.row import Row
from pointsman_client.top.page.sheet import Sheet
from pointsman_client.top.page.words import error_of, named
from pointsman_client.top.pen import Style
from pointsman_client.top.saying import counted, number
from pointsman_client.top.seen import NOW, Seen
from pointsman_client.top.targets import Kind, Target, of_link


def cause_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """A thing that is wrong, with all that it leads to."""
    causes = (seen.document(NOW) or {}).get("causes") or []
    found = next((cause for cause in causes if target_of(cause) == target), None)
    if found is None:
        yield from sheet.text("It is over.", Style.GOOD)
        return
    yield from sheet.text(str(found.get("sentence")), Style.STRONG)
    yield from sheet.when("since", found.get("since"))
    for sentence in found.get("consequences") or ():
        yield from sheet.field("so", text_of(sentence))
    yield from sheet.field("being done", text_of(found.get("being_done")))
    error = found.get("error") or {}
    if error:
        said = error_of(error) + (f", at {error['where']}" if error.get("where") else "")
        yield from sheet.field("error", f"{said} ({counted(int(error.get('count') or 0), 'time')})")
        if error.get("task_id"):
            yield from sheet.field("example", f"task {error['task_id']}", Target(Kind.TASK, error["task_id"]))
        if error.get("group_id"):
            yield from sheet.field("all of them", "its error group", Target(Kind.ERROR, error["group_id"]))
    for remedy in found.get("remedies") or ():
        yield from sheet.field("what to do", remedy.get("text"), of_link(remedy.get("link")))
        yield from sheet.field("", remedy.get("command"), style=Style.STRONG)
    links = [
        (str(part.get("text")), link)
        for sentence in (found.get("parts"), found.get("being_done"), *(found.get("consequences") or ()))
        for part in sentence or ()
        if (link := of_link(part.get("link"))) is not None
    ]
    for text, link in links:
        yield from sheet.field("see", f"{link.kind} {text.strip()}", link)
    for alert in found.get("alert_ids") or ():
        yield from sheet.field("alert", alert, Target(Kind.ALERT, str(alert)))
    known = found.get("acknowledged") or {}
    yield from sheet.field("known to", f"{known.get('who')}: {known.get('reason')}" if known else None)
    yield from sheet.field("read", found.get("documentation"))


def alert_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """An alert."""
    alert = seen.document(target.paths[0])
    if alert is None:
        return
    state = alert.get("severity") if alert.get("state") == "open" else "resolved"
    yield sheet.title(named(sheet.pen, state), "  ", sheet.pen.span(str(alert.get("rule")), Style.STRONG))
    yield from sheet.text(str(alert.get("summary")), Style.STRONG)
    yield from sheet.when("since", alert.get("since"))
    yield from sheet.when("resolved", alert.get("resolved_at"))
    yield from sheet.field("what to do", alert.get("next_step"))
    yield from sheet.field("read", alert.get("documentation"))
    for other in alert.get("also") or ():
        yield from sheet.field("also", other)
    known = alert.get("acknowledged") or {}
    yield from sheet.field("known to", f"{known.get('who')}: {known.get('reason')}" if known else None)
    yield from sheet.when("silenced till", alert.get("silenced_until"))


def error_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """An error group, its example and its newest tasks."""
    group = seen.document(target.paths[0])
    if group is None:
        return
    badge = "new" if group.get("new") else "back again" if group.get("back_again") else group.get("state")
    yield sheet.title(named(sheet.pen, badge), "  ", sheet.pen.span(str(group.get("task_type")), Style.STRONG))
    yield from sheet.text(error_of(group), Style.STRONG)
    total = group.get("total") or {}
    yield from sheet.field(
        "attempts", f"{number(group.get('count'))} within a day, {number(total.get('count'))} in all"
    )
    yield from sheet.field("failed tasks", number(group.get("failed_tasks")))
    yield from sheet.field("by time", sheet.pen.sparks(group.get("sparkline") or (), 40).strip())
    yield from sheet.when("first seen", group.get("first_seen_at"))
    yield from sheet.when("last seen", group.get("last_seen_at"))
    judged = group.get("judged") or {}
    yield from sheet.field("judged", f"{judged.get('who')}: {judged.get('reason')}" if judged else None)
    example = group.get("example") or {}
    if example.get("task_id"):
        task = str(example["task_id"])
        yield from sheet.field("example", f"task {task}: {example.get('message')}", Target(Kind.TASK, task))
    yield from sheet.field("see", "its tasks", Target(Kind.TASKS, f"state:failed error_group:{target.name}"))
    for recent in group.get("recent_tasks") or ():
        task = str(recent.get("task_id"))
        yield from sheet.field("lately", f"task {task} {recent.get('state')}", Target(Kind.TASK, task))
    yield from sheet.lines("traceback", str(group.get("traceback") or ""), last=True)
