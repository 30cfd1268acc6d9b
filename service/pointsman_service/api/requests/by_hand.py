"""What an operator says who sets something by hand that works by itself: why, and for how long."""

from pydantic import Field

from pointsman_service.api.requests.given import Action, Reason

_LONGEST_SECONDS = 366 * 86_400.0


class Said(Action):
    """Why somebody sets a breaker by hand."""

    reason: Reason = Field(description="Kept in the history.")


class SaidForAWhile(Said):
    """Why, and for how long."""

    expires_in_seconds: float | None = Field(
        default=None, gt=0, le=_LONGEST_SECONDS, description="Null: until somebody takes it away."
    )
