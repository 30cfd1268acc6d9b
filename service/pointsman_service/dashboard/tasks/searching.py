"""What a search finds of tasks: the task of an id, or lists that are narrowed to what was looked for."""

import re
from collections.abc import Sequence
from uuid import UUID

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Hit

_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_NAMES = 20
_LEAST_MESSAGE = 3
_MOST_MESSAGE = 200


async def hits_of(ask: Ask, words: str) -> Sequence[Hit]:
    """For an id, wherever it stands in what was pasted, its task if there is one."""
    found = _ID.search(words)
    if found is not None:
        seen = await ask.parts.views.tasks.find(UUID(found[0]))
        if seen is None:
            return []
        label = f"{seen.task.task_type}: {seen.task.state}"
        return [Hit(label, place("tasks", seen.task.id), "task", is_it=True)]
    hits = [Hit(name, place("tasks", task_type=name), "tasks of this type") for name in _named(ask, words)]
    queues = [spec.name for spec in ask.parts.settings.topology.queues if words.lower() in spec.name]
    hits += [Hit(name, place("tasks", queue=name), "tasks of this queue") for name in queues]
    if "@" in words:
        hits.append(Hit(words, place("tasks", worker=words), "tasks that this worker ran"))
    if not ask.caller.reads_payloads:
        return hits
    if ":" in words[1:]:
        hits.append(Hit(words, place("tasks", tag=words), "tasks with this tag"))
    if _LEAST_MESSAGE <= len(words) <= _MOST_MESSAGE:
        hits.append(Hit(f"“{words}”", place("tasks", error_message=words), "tasks with this in their error"))
    return hits


def _named(ask: Ask, words: str) -> list[str]:
    low = words.lower()
    return [name for name in ask.parts.catalogue.names if low in name.lower()][:_MOST_NAMES]
