"""What works, written out: tasks, queues, workers, breakers."""

import json
from collections.abc import Iterator

from pointsman_client.top.page.queues import queue_rows
from pointsman_client.top.page.row import Row
from pointsman_client.top.page.sheet import Sheet
from pointsman_client.top.page.words import attempt_of, error_of, named
from pointsman_client.top.page.workers import state_of
from pointsman_client.top.pen import Style
from pointsman_client.top.saying import both, counted, number, parsed, percent, span
from pointsman_client.top.seen import NOW, Seen
from pointsman_client.top.targets import WORKERS, Kind, Target


def task_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """A task: its state as a sentence, its attempts, its traceback."""
    path, explain, attempts = target.paths
    task = seen.document(path)
    if task is None:
        return
    yield sheet.title(
        named(sheet.pen, task.get("state")), "  ", sheet.pen.span(str(task.get("task_type")), Style.STRONG)
    )
    yield from sheet.explained(seen.document(explain))
    yield from sheet.field("task", task.get("id"))
    queue = str(task.get("queue"))
    yield from sheet.field("queue", f"{queue}, priority {task.get('priority')}", Target(Kind.QUEUE, queue))
    yield from sheet.field("attempt", attempt_of(task, " of "))
    for label in ("submitted", "due", "started", "finished"):
        yield from sheet.when(label, task.get(f"{label}_at"))
    yield from sheet.when("expires", task.get("expires_at"))
    waited, ran = task.get("queue_wait_seconds"), task.get("run_seconds")
    yield from sheet.field("waited, ran", None if waited is None and ran is None else f"{span(waited)}, {span(ran)}")
    worker = task.get("worker")
    # The process of a node follows its name.
    yield from sheet.field("worker", worker, Target(Kind.WORKER, str(worker).partition("#")[0]))
    progress = task.get("progress") or {}
    done = f"{number(progress.get('current'))} of {number(progress.get('total'))} " if progress.get("total") else ""
    yield from sheet.field("progress", f"{done}{progress.get('note') or progress.get('state') or ''}")
    for name in task.get("dependencies") or ():
        yield from sheet.field("calls", name, Target(Kind.BREAKER, f"dependency:{name}"))
    yield from sheet.field("tags", ", ".join(f"{key}={value}" for key, value in (task.get("tags") or {}).items()))
    for label, other in (("replays", task.get("replayed_from")), ("ran again as", task.get("replayed_as"))):
        yield from sheet.field(label, other, Target(Kind.TASK, str(other)))
    yield from sheet.field("cancelled by", task.get("cancel_requested_by"))
    error = task.get("error") or {}
    if error:
        yield from sheet.field("error", error_of(error), style=Style.BAD)
        if error.get("group"):
            yield from sheet.field("all of them", "its error group", Target(Kind.ERROR, str(error["group"])))
    for attempt in (seen.document(attempts) or {}).get("items") or ():
        failed = attempt.get("error") or {}
        on = f" on {attempt['worker']}" if attempt.get("worker") else ""
        said = f"{attempt.get('state')}, {span(attempt.get('run_seconds'))}{on}"
        reason = f": {error_of(failed)}" if failed else ""
        yield from sheet.field(f"attempt {attempt.get('attempt')}", said + reason)
    yield from sheet.lines("traceback", str(error.get("traceback") or ""), last=True)
    given = {"args": task.get("args"), "kwargs": task.get("kwargs")}
    yield from sheet.lines("arguments", json.dumps(given, indent=2, ensure_ascii=False))
    if task.get("result") is not None:
        yield from sheet.lines("result", json.dumps(task["result"], indent=2, ensure_ascii=False))


def queue_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """A queue, and why its next task waits."""
    path, explain = target.paths
    queue = seen.document(path)
    if queue is None:
        return
    yield sheet.title(sheet.pen.span(target.name, Style.STRONG))
    if queue.get("paused"):
        reason = queue.get("pause_reason")
        yield from sheet.text(f"Paused by {queue.get('paused_by')}: {reason}", Style.WARN)
        yield from sheet.when("since", queue.get("paused_at"))
    of_page = [one for one in (seen.document(NOW) or {}).get("queues") or () if one.get("name") == target.name]
    if of_page:
        head, rows = queue_rows(of_page, sheet.width, sheet.pen)
        yield from (Row(head.line), Row(rows[0].line))
        yield from sheet.field("because", of_page[0].get("state_reason"))
    following = (seen.document(explain) or {}).get("next_task")
    if following:
        yield Row(sheet.pen.line(""))
        task = str(following.get("task_id"))
        yield from sheet.field("next task", task, Target(Kind.TASK, task))
        yield from sheet.explained(following)
        yield Row(sheet.pen.line(""))
    states = ", ".join(f"{number(count)} {state}" for state, count in (queue.get("states") or {}).items())
    yield from sheet.field("tasks", states)
    yield from sheet.field("on the broker", f"{number(queue.get('on_broker'))}, at most {number(queue.get('window'))}")
    for held in queue.get("held_by") or ():
        yield from sheet.field("held", f"{number(held.get('tasks'))}: {held.get('reason') or 'other reasons'}")
    yield from sheet.field("set aside", counted(int(queue["set_aside"]), "message") if queue.get("set_aside") else None)
    yield from sheet.field("see", f"its tasks, {target.name}", Target(Kind.TASKS, f"queue:{target.name}"))


def worker_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """A worker, and what it runs."""
    found = (seen.document(WORKERS) or {}).get("items") or []
    worker = next((one for one in found if one.get("name") == target.name), None)
    if worker is None:
        if seen.document(WORKERS) is not None:
            yield from sheet.text("No worker of this name has been seen lately.")
        return
    yield sheet.title(named(sheet.pen, state_of(worker)), "  ", sheet.pen.span(target.name, Style.STRONG))
    yield from sheet.field("pool", worker.get("pool"))
    yield from sheet.field("queues", ", ".join(worker.get("queues") or ()))
    yield from sheet.field("busy", f"{number(worker.get('busy'))} of {number(worker.get('processes'))} processes")
    yield from sheet.field("used", percent(worker.get("utilization")))
    yield from sheet.field("last beat", f"{span(worker.get('heartbeat_age_seconds'))} ago")
    yield from sheet.field("process", f"{worker.get('pid')} on {worker.get('host')}")
    yield from sheet.when("started", worker.get("started_at"))
    if worker.get("ejected"):
        yield from sheet.field("ejected", worker.get("ejected_reason"), style=Style.WARN)
        yield from sheet.when("since", worker.get("ejected_since"))
        yield from sheet.when("until", worker.get("ejected_until"))
    for task in (seen.document(target.paths[1]) or {}).get("items") or ():
        started = parsed(task.get("started_at"))
        said = f"{task.get('task_type')} {task.get('id')}"
        yield from sheet.field(
            "runs",
            said if started is None else f"{said}, {both(started, sheet.at)}",
            Target(Kind.TASK, str(task.get("id"))),
        )


def breaker_sheet(sheet: Sheet, target: Target, seen: Seen) -> Iterator[Row]:
    """A circuit breaker and its latest turns."""
    breaker = seen.document(target.paths[0])
    if breaker is None:
        return
    override = breaker.get("override") or {}
    state = override.get("state") or breaker.get("state")
    yield sheet.title(named(sheet.pen, state), "  ", sheet.pen.span(target.name, Style.STRONG))
    if override:
        yield from sheet.field("by", f"{override.get('actor')}: {override.get('reason')}", style=Style.WARN)
        yield from sheet.when("until", override.get("expires_at"))
    yield from sheet.when("open since", breaker.get("opened_at"))
    yield from sheet.when("tried again", breaker.get("retry_at"))
    trips = breaker.get("trips")
    opened = "" if not trips else ", opened once" if trips == 1 else f", opened {number(trips)} times in a row"
    yield from sheet.field("failures", f"{number(breaker.get('failures'))} in a row{opened}")
    error = breaker.get("last_error") or {}
    if error:
        yield from sheet.field("last error", error_of(error), style=Style.BAD)
        yield from sheet.when("at", error.get("at"))
        if error.get("task_id"):
            yield from sheet.field("of task", error["task_id"], Target(Kind.TASK, str(error["task_id"])))
    for turn in (seen.document(target.paths[1]) or {}).get("items") or ():
        at = parsed(turn.get("at"))
        said = f"{turn.get('from')} → {turn.get('to')}: {turn.get('reason')}"
        yield from sheet.field("" if at is None else f"{at:%H:%M:%S}", said)
