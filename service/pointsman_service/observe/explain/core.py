"""From facts to an explanation. Pure."""

from collections.abc import Iterable

from pointsman_contract.states import Place, TaskState
from pointsman_service.observe.explain import ended, running, waiting
from pointsman_service.observe.explain.causes import RANK, Cause
from pointsman_service.observe.explain.explanation import Explanation, Reason
from pointsman_service.observe.explain.facts import Facts, Live
from pointsman_service.observe.explain.waiting import Found


def explain(facts: Facts) -> Explanation:
    """Why the task is where it is: the root cause, and what else holds."""
    if facts.live is None:
        return Explanation(ended.ended(facts), (), facts.now)
    keeps, also = _of_unfinished(facts, facts.live)
    root, *others = ranked(keeps)
    beside = [one for one in others + ranked(also) if one.cause is not root.cause]
    return Explanation(root, tuple(ranked(beside)), facts.now)


def _of_unfinished(facts: Facts, live: Live) -> Found:
    if facts.task.cancel_requested_at is not None:
        return running.cancelling(facts, live)
    if facts.task.state is TaskState.RUNNING:
        return running.running(facts, live)
    match live.place:
        case Place.ASLEEP:
            return waiting.asleep(facts)
        case Place.WAITING:
            return waiting.unsent(facts)
        case Place.SENT:
            return waiting.sent(facts, live)
    return waiting.held_back(facts)


def ranked(found: Iterable[Reason]) -> list[Reason]:
    """In the order of their causes, each cause once."""
    first: dict[Cause, Reason] = {}
    for one in found:
        first.setdefault(one.cause, one)
    return sorted(first.values(), key=lambda one: RANK[one.cause])
