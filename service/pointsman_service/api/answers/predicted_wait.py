"""A predicted wait as callers see it, wherever it is answered."""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason

EXAMPLE_PREDICTED_WAIT: dict[str, Any] = {
    "p50_seconds": 0.021,
    "p95_seconds": 0.84,
    "basis": "flow",
    "confidence": "good",
    "reason": None,
}


class PredictedWaitView(BaseModel):
    """How long a task is expected to wait until it starts, or why that cannot be said."""

    p50_seconds: float | None = Field(description="Half of such tasks start within this; null: see `reason`.")
    p95_seconds: float | None = Field(description="19 of 20 start within this; null: see `reason`.")
    basis: Basis | None = Field(
        description="`flow`: the work ahead, by what the processes complete; `history`: what tasks waited lately that"
        " found as much ahead. The one whose own record is better."
    )
    confidence: Confidence | None = Field(
        description="What the record of such predictions says: `low`, `fair` or `good`"
        " (`GET /v1/metrics/predictions` has it by queue)."
    )
    reason: Reason | None = Field(
        description="`paused`, `no_worker`, `breaker_open` (all of it is held), `unknown_task_type` (it is held, for"
        " a worker did not know its type), `not_enough_seen` (nobody knows how long such tasks run) or"
        " `not_known` (now); null when there are seconds."
    )


def predicted_wait(prediction: Prediction) -> dict[str, Any]:
    """The fields of ``PredictedWaitView``."""
    return asdict(prediction)
