"""Queues, worker pools and the rule that turns a priority into a queue and a Redis list.

Priority is 0..10 everywhere, 10 the most urgent.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_PRIORITY = 10
STEPS = tuple(range(10))
"""Kombu's ``priority_steps``: Redis lists of one queue, 0 fetched first."""

_NAME = re.compile(r"[a-z][a-z0-9_]*([.-][a-z0-9_]+)*")
_LONGEST_NAME = 63
_NUMBERED = re.compile(r".*-\d+")
_STEP_SEPARATOR = "\x06\x16"
_OF_CELERY = re.compile(r"unacked.*|celeryev.*|celery-task.*|(.*\.)?celery\.pidbox")
"""Keys of Redis that Celery and kombu have for themselves: the first list of a queue bears the queue's name."""


def _readable(name: str) -> str:
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise ValueError(
            "must be lower case letters, digits and underscores, the first a letter, with single dots and hyphens"
            f" between them; {_LONGEST_NAME} characters at most"
        )
    return name


def _nobody_elses(name: str) -> str:
    if _OF_CELERY.fullmatch(name) is not None:
        raise ValueError("is a name that Celery needs for itself in Redis")
    return name


def _no_number(name: str) -> str:
    if _NUMBERED.fullmatch(name) is not None:
        raise ValueError("must not end in a hyphen and a number: the second node of a pool is named so")
    return name


QueueName = Annotated[str, AfterValidator(_readable), AfterValidator(_nobody_elses)]
PoolName = Annotated[str, AfterValidator(_readable), AfterValidator(_no_number)]


class QueueSpec(BaseModel):
    """One queue: its name, the priority of a task that names none, and its target for queue wait."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: QueueName
    """Lower case letters, digits and underscores, with single dots and hyphens between them, such as ``imports.eu``."""
    priority: int = Field(ge=0, le=MAX_PRIORITY)
    """Of a task that names none. 0 to 10, 10 the most urgent."""
    sla_seconds: float = Field(gt=0)
    """Target for queue wait, from due to started."""
    accepts_any: bool = True
    """False: only an explicit queue or a route leads here, never a bare priority."""
    sla_objective: float | None = Field(default=None, gt=0, lt=1)
    """The share of starts that should be within the target. Unset: ``alert_sla_objective``."""
    backlog_limit: int | None = Field(default=None, ge=1)
    """So many tasks that are due may wait for their start: one more is answered 503. Unset: any number."""


class PoolSpec(BaseModel):
    """One Celery node: the queues it consumes, in order of preference, and its number of processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: PoolName
    """As of a queue, but with no hyphen and number at its end."""
    queues: tuple[str, ...] = Field(min_length=1)
    """What it consumes, in order of preference."""
    processes: int = Field(ge=1)
    """Tasks it runs at once."""
    prefetch_multiplier: int = Field(default=1, ge=1)
    """Messages it holds for each of its processes."""


class Topology(BaseModel):
    """All queues and pools, checked against each other.

    Raises ``pydantic.ValidationError`` when a name repeats, a pool names an unknown queue, or no queue accepts any
    task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queues: tuple[QueueSpec, ...]
    """Every queue."""
    pools: tuple[PoolSpec, ...]
    """Every worker pool."""
    fallback: str = "maintenance"
    """The queue of a task whose priority lies below every queue that accepts any task."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [queue.name for queue in self.queues]
        if len(set(names)) != len(names):
            raise ValueError("two queues share one name")
        if len({pool.name for pool in self.pools}) != len(self.pools):
            raise ValueError("two pools share one name")
        for pool in self.pools:
            unknown = set(pool.queues) - set(names)
            if unknown:
                raise ValueError(f"pool {pool.name} names unknown queues: {', '.join(sorted(unknown))}")
        if self.fallback not in names:
            raise ValueError(f"the fallback queue {self.fallback} is not a queue")
        if not any(queue.accepts_any for queue in self.queues):
            raise ValueError("no queue accepts any task")
        return self

    def queue(self, name: str) -> QueueSpec | None:
        """The queue of that name, or None."""
        return next((queue for queue in self.queues if queue.name == name), None)

    def by_priority(self, priority: int) -> QueueSpec:
        """The open queue with the highest priority not above ``priority``; below all of them, the fallback."""
        reachable = [queue for queue in self.queues if queue.accepts_any and queue.priority <= priority]
        if reachable:
            return max(reachable, key=lambda queue: queue.priority)
        fallback = self.queue(self.fallback)
        assert fallback is not None
        return fallback

    def processes(self, queue: str) -> int:
        """How many worker processes consume ``queue``, over all pools."""
        return sum(pool.processes for pool in self.pools if queue in pool.queues)


DEFAULT_TOPOLOGY = Topology(
    queues=(
        QueueSpec(name="critical", priority=10, sla_seconds=2),
        QueueSpec(name="high_priority", priority=8, sla_seconds=3),
        QueueSpec(name="email", priority=7, sla_seconds=5, accepts_any=False),
        QueueSpec(name="reports", priority=6, sla_seconds=60),
        QueueSpec(name="external_api", priority=5, sla_seconds=10, accepts_any=False),
        QueueSpec(name="maintenance", priority=3, sla_seconds=300),
    ),
    pools=(
        PoolSpec(name="critical", queues=("critical",), processes=2),
        PoolSpec(name="high_priority", queues=("critical", "high_priority"), processes=2),
        PoolSpec(name="email", queues=("email",), processes=1),
        PoolSpec(name="reports", queues=("reports",), processes=1),
        PoolSpec(name="external_api", queues=("external_api",), processes=1),
        PoolSpec(name="maintenance", queues=("maintenance",), processes=1, prefetch_multiplier=4),
    ),
)


def compact_pools(queues: Sequence[QueueSpec], processes: int = 4) -> tuple[PoolSpec, ...]:
    """One node over all queues, the most urgent first: for a laptop or a small machine."""
    ordered = sorted(queues, key=lambda queue: -queue.priority)
    return (PoolSpec(name="compact", queues=tuple(queue.name for queue in ordered), processes=processes),)


def step_of(priority: int) -> int:
    """The Redis step of a priority: ``min(9, 10 - priority)``, so that the most urgent is fetched first."""
    return min(STEPS[-1], MAX_PRIORITY - priority)


UNACKED = "unacked"
"""Kombu's hash of fetched messages that were not acknowledged yet, by delivery tag."""

UNACKED_INDEX = "unacked_index"
"""Kombu's sorted set of the same tags, by the time of the fetch."""


def list_key(queue: str, step: int) -> str:
    """The Redis list kombu reads for one step of one queue (``kombu.transport.redis.Channel._q_for_pri``)."""
    return queue if step == 0 else f"{queue}{_STEP_SEPARATOR}{step}"
