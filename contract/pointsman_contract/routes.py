"""``CELERY_TASK_ROUTES`` as people have it: which queue, and perhaps which priority, a task type gets."""

import fnmatch
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationInfo, model_validator

from pointsman_contract.queues import MAX_PRIORITY, Topology


class TaskRoute(BaseModel):
    """Where one task type, or all that a pattern matches, is sent. ``"email"`` is short for ``{"queue": "email"}``.

    A key of Celery's routes that cannot be honoured is refused by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str = Field(min_length=1)
    """The queue, unless the submission names one."""
    priority: int | None = Field(default=None, ge=0, le=MAX_PRIORITY)
    """Its priority, unless the submission has one; else the task type's, else the queue's. 0 to 10."""

    @model_validator(mode="before")
    @classmethod
    def _as_celery_has_it(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"queue": given}
        if isinstance(given, Mapping):
            others = [str(key) for key in given if key not in cls.model_fields]
            if others:
                raise ValueError(f"{', '.join(others)} cannot be honoured: a route has a queue and perhaps a priority")
        return given


class TaskRoutes(RootModel[dict[str, TaskRoute]]):
    """Routes by task type. As in Celery a name wins over patterns, and of the patterns (names with ``*``) the first.

    Also takes Celery's list of (name, route) pairs.
    """

    model_config = ConfigDict(frozen=True)

    root: dict[str, TaskRoute] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_pairs(cls, given: Any) -> Any:
        if callable(given):
            raise ValueError(  # noqa: TRY004 - pydantic reports no TypeError
                "a router function cannot be honoured: list the task types, or patterns of them"
            )
        if not isinstance(given, list | tuple):
            return given
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in given):
            raise ValueError("must be a dictionary of task type to route, or a list of such pairs")
        return dict(given)

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        # Not a private attribute of pydantic, which costs 3 µs to read: this is asked for every submission. By way of a
        # dictionary, as in Celery: of two names for one pattern, ``a*`` and ``a**``, it keeps the last.
        return tuple({re.compile(fnmatch.translate(key)): key for key in self.root if "*" in key}.items())

    def find(self, task_type: str) -> tuple[str, TaskRoute] | None:
        """The first route of a task type, with the name or pattern it is listed under."""
        exact = self.root.get(task_type)
        if exact is not None and "*" not in task_type:
            return task_type, exact
        for pattern, key in self._patterns:
            if pattern.match(task_type):
                return key, self.root[key]
        return None

    def for_celery(self) -> dict[str, dict[str, Any]]:
        """The routes as Celery's own ``task_routes`` takes them."""
        return {key: route.model_dump(exclude_none=True) for key, route in self.root.items()}


def lead_to_queues(routes: TaskRoutes, info: ValidationInfo) -> TaskRoutes:
    """The routes, held against the ``topology`` of the same settings; ``ValueError`` names those that lead nowhere."""
    topology: Topology | None = info.data.get("topology")
    if topology is not None:
        lost = [f"{name!r} leads to {to.queue}" for name, to in routes.root.items() if topology.queue(to.queue) is None]
        if lost:
            names = ", ".join(queue.name for queue in topology.queues)
            raise ValueError(f"{'; '.join(lost)}: not a queue; the queues are {names}")
    return routes
