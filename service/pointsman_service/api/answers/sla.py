"""One queue against its objective, as every answer about it says it."""

from typing import Any

from pydantic import BaseModel, Field

from pointsman_service.store.queues.overdue import MOST_COUNTED

EXAMPLE_SLA: dict[str, Any] = {
    "queue": "email",
    "target_seconds": 5.0,
    "objective": 0.99,
    "met": 99_820,
    "missed": 180,
    "missed_and_waiting": 0,
    "missed_and_waiting_is_least": False,
    "attainment": 0.9982,
    "error_budget_left": 0.82,
    "burn": [
        {"window_seconds": 300.0, "rate": 0.0, "starts": 41, "missed": 0},
        {"window_seconds": 1800.0, "rate": 0.4, "starts": 250, "missed": 1},
        {"window_seconds": 3600.0, "rate": 0.2, "starts": 498, "missed": 1},
        {"window_seconds": 21_600.0, "rate": 0.167, "starts": 2998, "missed": 5},
    ],
}


class BurnView(BaseModel):
    """How fast the error budget was used within a window."""

    window_seconds: float
    rate: float | None = Field(
        description="Times as fast as it would last for 30 days; null when nothing started. Alerts go by the same."
    )
    starts: int = Field(description="First starts, and tasks that should have been among them.")
    missed: int = Field(description="Those of them past the target.")


class QueueSlaView(BaseModel):
    """One queue against its objective."""

    queue: str
    target_seconds: float = Field(description="The target for queue wait.")
    objective: float = Field(
        description="The share of first starts that should be within the target: `sla_objective` of the queue, else"
        " `alert_sla_objective`. What is missing to 1 is the error budget."
    )
    met: int = Field(description="First starts within the target.")
    missed: int = Field(description="First starts past it, and tasks that passed it and ended without a start.")
    missed_and_waiting: int = Field(
        description="Tasks that are past the target now and have not started. They count as missed in `attainment`,"
        f" `error_budget_left` and `burn`, and move to `missed` when they start. At most {MOST_COUNTED:,}."
    )
    missed_and_waiting_is_least: bool = Field(description="Whether there may be more.")
    attainment: float | None = Field(description="Share of those met, 0 to 1; null when there are none.")
    error_budget_left: float | None = Field(
        description="Share of the error budget of the window that is not used up, below 0 when more missed than may;"
        " null when there are none."
    )
    burn: list[BurnView] = Field(description="Within 5 and 30 minutes, an hour and six, whatever the window.")
