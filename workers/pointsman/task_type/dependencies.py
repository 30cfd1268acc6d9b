"""What one attempt depends on: which circuit breakers an outcome counts for, and whether a call may be made.

``with self.calling("smtp"):`` says that what fails inside is that dependency's failure.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from celery.exceptions import MaxRetriesExceededError, TaskPredicate

from pointsman.connection import AWAY, RedisConnection
from pointsman.errors import (
    AttemptSuperseded,
    BreakerOpen,
    OnceNotRecorded,
    PermanentError,
    RefusedByDependency,
)
from pointsman.task_type.causes import cause_of, chain, is_transport
from pointsman_contract.breaker_entry import epoch_of, lets_pass
from pointsman_contract.dependencies import DEPENDENCY, breakers_of, named
from pointsman_contract.events import Ending
from pointsman_contract.keys import BREAKERS

logger = logging.getLogger(__name__)

_NOBODYS = (
    PermanentError,
    BreakerOpen,
    AttemptSuperseded,
    OnceNotRecorded,
    MaxRetriesExceededError,
    TaskPredicate,
)
"""The arguments were wrong, a call was not made, or it was asked to come again later, or Redis was away."""

_DECLARED = "_pointsman_dependencies"
"""On the task itself, under a name that no task has for its own."""


class Sees(Protocol):
    """Where the parent sees what a child calls."""

    def show_calling(self, dependency: str) -> None:
        """Say what is called now; nothing when it is empty."""


class Dependencies:
    """The dependencies of one attempt. Its breakers are those the gate asked, and those of calls made beyond them."""

    def __init__(
        self, task: str, task_type: str, named: Sequence[str], epochs: Sequence[int], redis: RedisConnection, slot: Sees
    ) -> None:
        asked = breakers_of(task_type, named)
        self.breakers: dict[str, int | None] = (
            dict(zip(asked, epochs, strict=True)) if epochs else dict.fromkeys(asked, 0)
        )
        """Each with its epoch when the attempt began; None: Redis could not be asked."""
        self.answered: list[str] = []
        """Breakers of what answered, though it refused."""
        self._task = task
        self._of_type = asked[0]
        self._of_dependencies = asked[1:]
        self._redis = redis
        self._slot = slot
        self._failed: list[tuple[BaseException, str]] = []
        self._calling: list[str] = []

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        """What is raised inside is the failure of this dependency.

        Raises ``BreakerOpen`` before the body when the gate was not asked about it and its breaker is open, and
        ``ValueError`` for what cannot be a name.
        """
        breaker = breaker_of(name)
        if breaker not in self.breakers:
            self.breakers[breaker] = self._ask(breaker)
        self._calling.append(name)
        self._slot.show_calling(name)
        try:
            yield
        except RefusedByDependency:
            self.answered.append(breaker)
            self._leave(name)
            raise
        except Exception as error:
            self._failed.append((error, breaker))
            self._leave(name)
            raise
        except BaseException as error:
            # Perhaps the process is being killed, and its parent looks what it called.
            self._failed.append((error, breaker))
            self._calling.remove(name)
            raise
        else:
            self._leave(name)

    def blamed(self, error: BaseException, ignored: tuple[type[BaseException], ...]) -> str | None:
        """The breaker that a failure counts for; None for one that is nobody's. ``ignored``: what the task says is."""
        cause = cause_of(error)
        if isinstance(cause, (*_NOBODYS, *ignored)):
            return None
        # The nearest in the chain; of calls inside of one another the innermost was noted first.
        for one in chain(error):
            for failed, breaker in self._failed:
                if failed is one:
                    return breaker
        if len(self._of_dependencies) == 1 and is_transport(cause):
            return self._of_dependencies[0]
        return self._of_type

    def _leave(self, name: str) -> None:
        # Not the last one: threads of a body call at the same time.
        self._calling.remove(name)
        self._slot.show_calling(self._calling[-1] if self._calling else "")

    def _ask(self, breaker: str) -> int | None:
        try:
            entry: str | None = self._redis.command("HGET", BREAKERS, breaker)
        except AWAY as error:
            logger.debug("a circuit breaker cannot be asked, the call is made: %s", error)
            self._redis.close()
            return None
        if not lets_pass(entry, self._task):
            raise BreakerOpen(breaker)
        return 0 if entry is None else epoch_of(entry)


def declared_by(task: Any) -> tuple[str, ...]:
    """What every run of a task depends on, found once. Raises ``ValueError`` for what cannot be a name."""
    found: tuple[str, ...] | None = vars(task).get(_DECLARED)
    if found is None:
        given = [one() if callable(one) else one for one in task.dependencies]
        found = tuple(dict.fromkeys(named(name) for name in given if name is not None))
        setattr(task, _DECLARED, found)
    return found


def breaker_of(name: str) -> str:
    """The breaker of a dependency. Raises ``ValueError``."""
    return f"{DEPENDENCY}:{named(name)}"


def verdict_of(ending: Ending) -> tuple[str | int, ...]:
    """What ``report.lua`` is told of an ended attempt, for its circuit breakers."""
    breakers = ending.get("breakers", {})
    if "error" not in ending:
        return ("success", *breakers)
    answered = ending.get("answered", ())
    if "blamed" not in ending:
        return ("success", *answered) if answered else ()
    (blamed,) = ending["blamed"]
    epoch = breakers.get(blamed)
    told = (blamed, "" if epoch is None else epoch)
    also = [word for one in answered if one != blamed for word in (one, "answered")]
    return "failure", "\n".join(ending.get("error_classes", ())), *told, *also
