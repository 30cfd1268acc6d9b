"""What happens, as it happens: changes of tasks, and what one of them writes."""

from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pointsman_client.calling.events import Event
from pointsman_client.commands.exits import Exit
from pointsman_client.commands.given import tags_of
from pointsman_client.commands.voice import Voice
from pointsman_client.sync.client import Client


def tail(client: Client, given: Namespace, voice: Voice) -> Exit:
    """Until somebody stops it, or the one task has ended."""
    if given.id is not None and given.lines:
        for event in client.tasks.stream_log_lines(given.id):
            _lines(event, voice)
        return Exit.WELL
    if given.id is not None:
        for event in client.tasks.stream(given.id):
            _changes([event.data] if isinstance(event.data, Mapping) else [], voice)
        return Exit.WELL
    tags = [f"{name}:{value}" for name, value in (tags_of(given.tag) or {}).items()]
    for event in client.tasks.stream_many(state=given.state, queue=given.queue, task_type=given.type, tag=tags or None):
        if event.name == "tasks":
            _changes(event.listed("changes"), voice)
            if left_out := event.field("left_out"):
                voice.complain(f"{left_out:,} more changed: a narrower filter shows them")
        elif event.name in ("reset", "stale", "live"):
            voice.complain(_SAID[event.name])
    return Exit.WELL


_SAID = {
    "reset": "something before this was not told",
    "stale": "the database of the API does not answer: more may have happened",
    "live": "it answers again, and nothing was missed",
}


def _changes(changes: list[Mapping[str, Any]], voice: Voice) -> None:
    for change in changes:
        if voice.as_json:
            voice.document(change)
            continue
        moment = change.get("finished_at") or change.get("started_at") or change.get("submitted_at") or ""
        error = f"  {change['error_type']}" if change.get("error_type") else ""
        progress = _progress(change.get("progress"))
        voice.line(
            f"{_clock(moment)}  {change.get('id')}  {change.get('state'):<9}  {change.get('task_type')}"
            f"  attempt {change.get('attempt')}{progress}{error}"
        )


def _lines(event: Event, voice: Voice) -> None:
    if event.name != "lines":
        return
    for line in event.listed("items"):
        if voice.as_json:
            voice.document(line)
        else:
            voice.line(f"{_clock(line['at'])}  {line['level']:<8}  {line['text']}")


def _progress(progress: Mapping[str, Any] | None) -> str:
    if not progress or progress.get("current") is None:
        return ""
    total = progress.get("total")
    return f"  {progress['current']:g}" + ("" if total is None else f" of {total:g}")


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%H:%M:%S} UTC" if moment else " " * 12
