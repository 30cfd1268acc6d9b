"""Where on the dashboard something is told. What has no page yet has no link."""

from collections.abc import Collection, Mapping
from typing import Final

from pointsman_service.dashboard.links import place
from pointsman_service.now.picture import Link, LinkKind

_LISTS: Final[Mapping[LinkKind, tuple[str, Mapping[str, str]]]] = {
    LinkKind.TASKS: ("tasks", {}),
    LinkKind.DEAD_LETTERS: ("tasks", {"state": "failed", "replayed": "false"}),
    LinkKind.ERRORS: ("errors", {}),
    LinkKind.QUEUES: ("queues", {}),
    LinkKind.WORKERS: ("workers", {}),
    LinkKind.BREAKERS: ("breakers", {}),
    LinkKind.ALERTS: ("alerts", {}),
}
_AS_TASKS: Final[Mapping[str, str]] = {"failed_after": "finished_after", "failed_before": "finished_before"}
"""What dead letters are narrowed to, as a list of tasks calls it."""
_ONE: Final[Mapping[LinkKind, str]] = {
    LinkKind.TASK: "tasks",
    LinkKind.TASK_TYPE: "types",
    LinkKind.ERROR: "errors",
    LinkKind.QUEUE: "queues",
    LinkKind.SET_ASIDE: "queues",
    LinkKind.WORKER: "workers",
    LinkKind.ALERT: "alerts",
}


def target_of(link: Link | None, pages: Collection[str]) -> str | None:
    """The path below the dashboard of what a link means, of these pages; None: there is none."""
    if link is None:
        return None
    if link.kind is LinkKind.BREAKER and link.name is not None:
        page, path = "breakers", place("breakers", *link.name.split(":", 1))
    elif link.kind is LinkKind.TASK_ACT and link.name is not None:
        page, path = "tasks", place("tasks", "acts", link.name)
    elif link.kind is LinkKind.SET_ASIDE and link.name is None:
        page, path = "queues", place("queues", "set-aside", "messages")
    elif link.name is not None and link.kind in _ONE:
        page = _ONE[link.kind]
        path = place(page, link.name)
    elif link.kind in _LISTS:
        page, fixed = _LISTS[link.kind]
        narrowed = {_AS_TASKS.get(name, name): value for name, value in link.filter.items()}
        path = place(page, **{**fixed, **narrowed})
    else:
        return None
    return path if page in pages else None
