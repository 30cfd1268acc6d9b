"""A circuit breaker with its policy, and as the row that keeps it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import TASK_TYPE
from pointsman_service.breaker.breaker import BY_ITSELF, Breaker, BreakerState, Kind, Outcome, Step, Transition
from pointsman_service.breaker.last_error import LastError, following
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.store.breakers.breakers import BreakerRow, Key, TransitionRow
from pointsman_service.telemetry import logger

log = logger(__name__)

_MACHINE: TypeAdapter[Any] = TypeAdapter(Breaker)
_OF_TASK_TYPE: TypeAdapter[Any] = TypeAdapter(TaskTypeBreaker)
_LAST_ERROR = TypeAdapter(LastError | None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One breaker with its policy."""

    key: Key
    breaker: Breaker
    policy: BreakerPolicy
    has_own_policy: bool
    policy_version: int
    """0 until somebody sets a policy."""
    last_error: LastError | None = None
    """Of the newest failure that it counted; stays when it closes."""

    @classmethod
    def fresh(cls, key: Key, default: BreakerPolicy) -> Self:
        """The breaker of a key that nothing has happened to yet."""
        return cls(key, _machine(key[0]).validate_python({}), default, has_own_policy=False, policy_version=0)

    @classmethod
    def of_row(cls, row: BreakerRow, default: BreakerPolicy) -> Self:
        """As it was written down, with the default where it has no policy of its own."""
        policy = default if row.policy is None else _policy(row.policy, default)
        breaker = _machine(row.scope).validate_python(row.machine)
        own = row.policy is not None
        return cls(
            (row.scope, row.name),
            breaker,
            policy,
            has_own_policy=own,
            policy_version=row.policy_version,
            last_error=_LAST_ERROR.validate_python(row.last_error),
        )

    def after(self, step: Step, outcome: Outcome, task_id: str | None, at: float) -> Self:
        """The entry after a step that counted, or did not count, this outcome."""
        if step.breaker == self.breaker:
            return self
        told = self.last_error
        if outcome.said is not None and outcome.under(self.policy) is Kind.FAILURE:
            told = following(told, outcome.said, task_id, at)
        return replace(self, breaker=step.breaker, last_error=told)

    def as_row(self) -> BreakerRow:
        """What ``of_row`` reads."""
        breaker = self.breaker
        override = breaker.override
        turns = [breaker.turns_at, None if override is None else override.expires_at]
        machine = _machine(self.key[0])
        return BreakerRow(
            scope=self.key[0],
            name=self.key[1],
            seen=str(breaker.seen),
            epoch=breaker.epoch,
            turns_at=min((moment for moment in turns if moment is not None), default=None),
            machine=machine.dump_python(breaker, mode="json"),
            policy=self.policy.model_dump(mode="json") if self.has_own_policy else None,
            policy_version=self.policy_version,
            last_error=_LAST_ERROR.dump_python(self.last_error, mode="json"),
        )

    def line(self, transition: Transition) -> dict[str, Any]:
        """The row of its history that keeps this transition."""
        error = _LAST_ERROR.dump_python(self.error_of(transition), mode="json")
        return {"scope": self.key[0], "name": self.key[1], **transition._asdict(), "error": error}

    def error_of(self, transition: Transition) -> LastError | None:
        """What made it open or doubt; None of a transition that no failure made."""
        opened = transition.after is BreakerState.OPEN or transition.before is BreakerState.CLOSED
        return self.last_error if opened and transition.actor == BY_ITSELF else None


def noting(step: Callable[[Entry, float], Step], note: Callable[[str, str], None]) -> Callable[[Entry, float], Step]:
    """A step that also notes how the breaker was seen before it and after."""

    def noted(entry: Entry, now: float) -> Step:
        made = step(entry, now)
        note(str(entry.breaker.tick(now).breaker.seen), str(made.breaker.seen))
        return made

    return noted


def error_of_row(row: TransitionRow) -> LastError | None:
    """What a transition that was written down tells of an error."""
    return _LAST_ERROR.validate_python(row.error)


def _machine(scope: str) -> TypeAdapter[Any]:
    # What the release before wrote of a task type reads as one that has learnt nothing yet.
    return _OF_TASK_TYPE if scope == TASK_TYPE else _MACHINE


def _policy(stored: Mapping[str, Any], default: BreakerPolicy) -> BreakerPolicy:
    try:
        return BreakerPolicy.model_validate(stored)
    except ValidationError as error:
        # A newer version may have written more than this one understands.
        log.error("a stored breaker policy cannot be read; the default counts", reason=str(error)[:300])
        return default
