"""What a line can lead to, and where the API tells of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode


class Kind(StrEnum):
    """What it is."""

    CAUSE = "cause"
    TASK = "task"
    TASKS = "tasks"
    QUEUE = "queue"
    WORKER = "worker"
    BREAKER = "breaker"
    ERROR = "error"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing, by kind and name. A breaker's name is ``<scope>:<name>``, that of ``TASKS`` is a filter."""

    kind: Kind
    name: str

    @property
    def paths(self) -> tuple[str, ...]:
        """What is asked to show it, the thing itself first. A cause is part of the first page."""
        name = quote(self.name, safe="")
        match self.kind:
            case Kind.TASK:
                return f"/v1/tasks/{name}", f"/v1/tasks/{name}/explain", f"/v1/tasks/{name}/attempts?limit=20"
            case Kind.QUEUE:
                return f"/v1/queues/{name}", f"/v1/queues/{name}/explain"
            case Kind.WORKER:
                return WORKERS, tasks_path({"worker": self.name, "state": "running"}, 20)
            case Kind.BREAKER:
                path = breaker_path(self.name)
                return path, f"{path}/history?limit=10"
            case Kind.ERROR:
                return (f"/v1/errors/{name}",)
            case Kind.ALERT:
                return (f"/v1/alerts/{name}",)
        return ()


WORKERS = "/v1/workers"
BREAKERS = "/v1/breakers?limit=200"
ALERTS = "/v1/alerts?state=open&limit=200"
ERRORS = "/v1/errors?limit=100"
PAGE = 100
"""Tasks of the list."""


def breaker_path(name: str) -> str:
    """Of a breaker, by scope and name."""
    scope, _, rest = name.partition(":")
    return f"/v1/breakers/{quote(scope, safe='')}/{quote(rest, safe='')}"


def tasks_path(parameters: dict[str, str], limit: int = PAGE) -> str:
    """A list of tasks, the newest first."""
    return f"/v1/tasks?{urlencode(parameters | {'limit': str(limit)})}"


_STATES = frozenset(
    ("scheduled", "queued", "held", "running", "retrying", "succeeded", "failed", "cancelled", "expired")
)
_FIELDS = {
    "queue": "queue", "type": "task_type", "tag": "tag", "worker": "worker", "error": "error_type",
    "task_type": "task_type", "error_type": "error_type", "error_group": "error_group", "state": "state",
    "caller": "caller", "held": "held_reason", "held_reason": "held_reason",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What somebody types to narrow the list of tasks: ``failed queue:email letters``."""

    parameters: dict[str, str] = field(default_factory=dict)
    """What the API narrows by: a state alone, or one of its fields with a colon."""
    words: tuple[str, ...] = ()
    """What each line that is shown must hold besides."""

    @classmethod
    def parsed(cls, text: str) -> "TaskFilter":
        """Of what was typed."""
        parameters: dict[str, str] = {}
        words = []
        for word in text.split():
            name, colon, value = word.partition(":")
            if word in _STATES:
                parameters["state"] = word
            elif colon and value and name in _FIELDS:
                # A tag is written as elsewhere on a command line; the API has a colon there.
                parameters[_FIELDS[name]] = value.replace("=", ":", 1) if name == "tag" and ":" not in value else value
            else:
                words.append(word.casefold())
        return cls(parameters, tuple(words))


def of_link(link: Any) -> Target | None:
    """What a link of the first page leads to, if a terminal can show it."""
    if not isinstance(link, dict):
        return None
    kind, name = link.get("kind"), link.get("name")
    if kind == Kind.TASKS:
        narrowed = link.get("filter") or {}
        return Target(Kind.TASKS, " ".join(f"{field}:{value}" for field, value in narrowed.items()))
    if isinstance(name, str) and kind in {str(one) for one in Kind}:
        return Target(Kind(kind), name)
    return None
