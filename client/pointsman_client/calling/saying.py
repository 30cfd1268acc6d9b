"""What a submission can say beside its task type and arguments."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self


class Saying:
    """Whoever submits, with what all its submissions say."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})

    @abstractmethod
    def _with(self, options: Mapping[str, Any]) -> Self:
        """The same with these options."""

    def with_options(
        self,
        *,
        idempotency_key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        scheduled_at: datetime | str | None = None,
        delay_seconds: float | None = None,
        expires_at: datetime | str | None = None,
        timeout_seconds: float | None = None,
        max_attempts: int | None = None,
        dependencies: Sequence[str] | None = None,
        on_breaker_open: Literal["hold", "reject"] | None = None,
        on_sla_risk: Literal["accept", "reject"] | None = None,
        fairness_key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Self:
        """The same, for submissions that say so: ``tasks.with_options(queue="email").submit(…)``. What is left out
        stays as it was.
        """
        given = {
            "idempotency_key": idempotency_key,
            "queue": queue,
            "priority": priority,
            "scheduled_at": scheduled_at,
            "delay_seconds": delay_seconds,
            "expires_at": expires_at,
            "timeout_seconds": timeout_seconds,
            "max_attempts": max_attempts,
            "dependencies": dependencies,
            "on_breaker_open": on_breaker_open,
            "on_sla_risk": on_sla_risk,
            "fairness_key": fairness_key,
            "tags": tags,
        }
        said = {name: value for name, value in given.items() if value is not None}
        return self._with(self._options | said)
