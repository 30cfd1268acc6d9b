"""A circuit breaker as the API shows it."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.api.answers.answer import moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.observe.breakers import BreakerNow, CountedError, Turn


class Scope(StrEnum):
    """What a breaker guards."""

    TASK_TYPE = "task_type"
    DEPENDENCY = "dependency"
    """Anything that is called: ``smtp``, ``api.weather.com``, ``db.example.org:5432``."""
    WORKER = "worker"


EXAMPLE_LAST_ERROR: dict[str, Any] = {
    "type": "TimeoutError",
    "message": "api.weather.com did not answer within 5 s",
    "task_id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "at": "2026-11-25T08:30:00Z",
    "count": 5,
}
EXAMPLE_BREAKER: dict[str, Any] = {
    "scope": "dependency",
    "name": "api.weather.com",
    "state": "open",
    "epoch": 7,
    "failures": 0,
    "trips": 1,
    "opened_at": "2026-11-25T08:30:00Z",
    "retry_at": "2026-11-25T08:31:03.500000Z",
    "probes": 0,
    "probes_succeeded": 0,
    "override": None,
    "policy": BreakerPolicy().model_dump(mode="json"),
    "has_own_policy": False,
    "last_error": EXAMPLE_LAST_ERROR,
}
EXAMPLE_TRANSITION: dict[str, Any] = {
    "id": 41,
    "scope": "dependency",
    "name": "api.weather.com",
    "at": "2026-11-25T08:30:00Z",
    "epoch": 7,
    "from": "closed",
    "to": "open",
    "reason": "5 failures in a row",
    "actor": "breaker",
    "error": EXAMPLE_LAST_ERROR,
}


class OverrideView(BaseModel):
    """What somebody set by hand."""

    state: Literal["forced_open", "disabled"]
    actor: str
    reason: str
    expires_at: AwareDatetime | None


class LastErrorView(BaseModel):
    """The newest failure that a breaker counted."""

    type: str = Field(description="The exception's class.")
    message: Annotated[str, Payload("")] = Field(description="At most 500 characters.")
    task_id: str | None = Field(description="Null: a caller reported it.")
    at: AwareDatetime
    count: int = Field(
        description="Failures with this exception in one run: each within ten minutes of the one before, and no other"
        " exception in between."
    )


class BreakerView(BaseModel):
    """One circuit breaker, as of now."""

    scope: Scope
    name: str
    state: BreakerState = Field(description="What callers see: an override stands above the others.")
    epoch: int = Field(description="Rises with every transition. Report it with an outcome of a call begun now.")
    failures: int = Field(description="In a row, while closed.")
    trips: int = Field(description="Openings that followed soon on one another; each doubles the wait.")
    opened_at: AwareDatetime | None = Field(description="When it opened; stays while it is half open.")
    retry_at: AwareDatetime | None = Field(
        description="When an open breaker lets probes through. Of one that is forced open: when calls or probes pass"
        " after that has expired; null when it does not."
    )
    probes: int = Field(description="Permits leased now, while half open.")
    probes_succeeded: int
    override: OverrideView | None
    policy: BreakerPolicy
    has_own_policy: bool = Field(description="False: the configured default.")
    last_error: LastErrorView | None = Field(description="Stays when it closes; null when no failure told one.")


class BreakerList(BaseModel):
    """A page of breakers, by scope and name."""

    items: list[BreakerView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


class TransitionView(BaseModel):
    """One change of the state that callers see."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    scope: Scope
    name: str
    at: AwareDatetime
    epoch: int
    before: BreakerState = Field(alias="from")
    after: BreakerState = Field(alias="to")
    reason: str
    actor: str = Field(description="`breaker` itself, or who did it by hand.")
    error: LastErrorView | None = Field(description="Of one that opened by itself: the newest failure it had counted.")


def breaker_view(breaker: BreakerNow) -> dict[str, Any]:
    """The fields of ``BreakerView``."""
    by_hand = breaker.by_hand
    return {
        "scope": breaker.scope,
        "name": breaker.name,
        "state": breaker.state,
        "epoch": breaker.epoch,
        "failures": breaker.failures,
        "trips": breaker.trips,
        "opened_at": moment(breaker.opened_at),
        "retry_at": moment(breaker.retry_at),
        "probes": breaker.probes,
        "probes_succeeded": breaker.probes_succeeded,
        "override": None
        if by_hand is None
        else {
            "state": by_hand.state,
            "actor": by_hand.actor,
            "reason": by_hand.reason,
            "expires_at": moment(by_hand.expires_at),
        },
        "policy": breaker.policy.model_dump(mode="json"),
        "has_own_policy": breaker.has_own_policy,
        "last_error": last_error_view(breaker.last_error),
    }


def transition_view(turn: Turn) -> dict[str, Any]:
    """The fields of ``TransitionView``."""
    return {
        "id": turn.id,
        "scope": turn.scope,
        "name": turn.name,
        "at": moment(turn.at),
        "epoch": turn.epoch,
        "from": turn.before,
        "to": turn.after,
        "reason": turn.reason,
        "actor": turn.actor,
        "error": last_error_view(turn.error),
    }


def last_error_view(error: CountedError | None) -> dict[str, Any] | None:
    """The fields of ``LastErrorView``."""
    return None if error is None else {**asdict(error), "at": moment(error.at)}
