"""What ``GET /v1/metrics/tasks`` says, and sums of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pointsman.shipped.control_plane import ControlPlaneAway

if TYPE_CHECKING:
    from pointsman_client.sync.client import Client

GroupBy = Literal["queue", "task_type"]
_COUNTS = (
    "submitted", "started", "execution_count", "succeeded", "failed", "cancelled", "expired", "retry_count",
    "timed_out", "native", "sla_met", "sla_missed",
)  # fmt: skip


class Durations(BaseModel):
    """In seconds; None when nothing was observed."""

    model_config = ConfigDict(frozen=True)

    avg: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Figures(BaseModel):
    """Of one queue, one task type, or all together."""

    model_config = ConfigDict(frozen=True)

    queue: str | None = None
    task_type: str | None = None
    submitted: int = 0
    started: int = 0
    execution_count: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    retry_count: int = 0
    timed_out: int = 0
    native: int = 0
    sla_met: int = 0
    sla_missed: int = 0
    run_seconds: Durations = Durations()
    queue_wait_seconds: Durations = Durations()

    @property
    def name(self) -> str:
        """Of the queue or the task type."""
        return self.queue or self.task_type or ""

    @property
    def success_rate(self) -> float | None:
        """Share of ended tasks that succeeded, 0 to 1; None when none ended."""
        return _share(self.succeeded, self.failed)

    @property
    def sla_attainment(self) -> float | None:
        """Share of first starts in time, 0 to 1; None when nothing started."""
        return _share(self.sla_met, self.sla_missed)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted at all."""
        return not any(getattr(self, name) for name in _COUNTS)


class Metrics(BaseModel):
    """One answer."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Figures, ...] = ()
    totals: Figures = Figures()

    @classmethod
    def read(cls, client: "Client", start: datetime, end: datetime, group_by: GroupBy) -> Self:
        """The figures from ``start``, a whole minute, to ``end``, a group for each. Raises ``ClientError``, and
        ``ControlPlaneAway`` where they are none.
        """
        span = (end - start).total_seconds()
        answer = client.metrics.tasks(window_seconds=span, until=end, group_by=group_by)
        try:
            return cls.model_validate(answer.raw)
        except ValidationError as error:
            raise ControlPlaneAway(f"{client.url} answered no figures: {error.errors()[0]['msg']}") from None


def add(parts: Iterable[Figures]) -> Figures:
    """All of them together, named as the first one is.

    Averages are exact. Of percentiles, which do not add up, it holds the worst one.
    """
    parts = list(parts)
    if not parts:
        return Figures()
    return Figures.model_validate(
        {name: sum(getattr(part, name) for part in parts) for name in _COUNTS}
        | {
            "queue": parts[0].queue,
            "task_type": parts[0].task_type,
            "run_seconds": _worst((part.run_seconds, part.execution_count) for part in parts),
            "queue_wait_seconds": _worst((part.queue_wait_seconds, part.sla_met + part.sla_missed) for part in parts),
        }
    )


def _worst(parts: Iterable[tuple[Durations, int]]) -> dict[str, float | None]:
    seen = [(durations, count) for durations, count in parts if durations.avg is not None and count]
    observations = sum(count for _, count in seen)
    found: dict[str, float | None] = {
        name: max((value for durations, _ in seen if (value := getattr(durations, name)) is not None), default=None)
        for name in ("p50", "p95", "p99")
    }
    total = sum((durations.avg or 0.0) * count for durations, count in seen)
    return found | {"avg": total / observations if observations else None}


def _share(yes: int, no: int) -> float | None:
    return yes / (yes + no) if yes + no else None
