"""What is wrong, in the words that alerts, explanations, readiness and the doctor share. Each is written here only."""

from collections.abc import Mapping, Sequence

from pointsman_service.observe.spans import span

STALE = "Until then task states, counters and what breakers counted are shown as they were then."
NODES_NAMED = 5
NOTHING_STARTS = "tasks are accepted and wait, and nothing starts"
"""What it means that Redis is away."""
_WITHOUT: Mapping[str, str] = {
    "recorder": (
        "tasks start and end, and nothing of it is written down. Until one runs task states, counters and what breakers"
        " counted are shown as they were then"
    ),
    "dispatcher": "tasks that wait in PostgreSQL are not sent, and new ones only while their queue has room",
    "reconciler": (
        "tasks that are due later or failed once do not start, and what fell out of the line is not put back"
    ),
}
_NAMES = frozenset({"Redis"})
_MEANS = {"worker": "it gets no tasks", "task_type": "its tasks are held"}
"""What an open circuit breaker means, by what it is of."""


def database_away(reason: str) -> str:
    """PostgreSQL does not answer; ``reason`` may be empty."""
    why = f" ({reason})" if reason else ""
    return (
        f"PostgreSQL does not answer{why}: submissions are refused with 503, and nothing is written down. Workers go on"
        " with what was sent."
    )


def broker_away(reason: str, *, taken: bool = True) -> str:
    """Redis does not answer; ``reason`` may be empty. ``taken``: tasks are accepted."""
    why = f" ({reason})" if reason else ""
    return f"The broker does not answer{why}: {NOTHING_STARTS if taken else 'nothing starts'}."


def broker_full(percent: int) -> str:
    """Nothing is sent for want of memory."""
    return (
        f"Redis is full, {percent} % of its memory is used: nothing is sent, and from"
        " gate_memory_percent on, 85 % by default, workers start nothing. What is submitted is accepted and waits."
    )


def broker_key(*keys: str) -> str:
    """A key of Celery's is somebody else's, or several are."""
    named = ", ".join(map(repr, keys))
    if len(keys) == 1:
        return f"The key {named} of the broker is of another type than Celery's: what it is for stands still."
    return f"The keys {named} of the broker are of another type than Celery's: what they are for stands still."


def without(role: str) -> str:
    """What it means that nobody has a role of the control plane: what follows a colon, without a full stop."""
    return _WITHOUT[role]


def no_role(role: str) -> str:
    """Nobody has a role of the control plane."""
    return f"No {role} runs: {without(role)}."


def recorder_behind(lag_seconds: float) -> str:
    """What workers report is not written down in time."""
    return f"What workers report is written down {span(lag_seconds)} late. {STALE}"


def dispatcher_behind(queues: Sequence[str]) -> str:
    """There is room, and nothing is sent."""
    return f"Tasks wait unsent though the broker has room: {', '.join(queues)}."


def no_worker(queues: Sequence[str]) -> str:
    """Nobody takes from these queues."""
    names, them = ", ".join(sorted(queues)), "it" if len(queues) == 1 else "them"
    return f"No live worker takes tasks from {names}: what is submitted to {them} is accepted and waits."


def workers_ejected(queues: Sequence[str], told: str) -> str:
    """Whoever takes from these queues is kept off them; ``told`` says who, and may say why."""
    names, them = ", ".join(sorted(queues)), "it" if len(queues) == 1 else "them"
    return f"Every live worker of {names} is kept off {them}: {told}."


def queue_paused(queue: str, by: str, reason: str | None, at: str) -> str:
    """Somebody paused a queue; ``at``: when, in words."""
    why = f": {reason}" if reason else ""
    return f"The queue {queue} was paused by {by} at {at}{why}. Nothing of it starts until it is resumed."


def worker_lost(name: str) -> str:
    """A worker fell silent."""
    return f"The worker {name} fell silent without saying good-bye. What it ran is sent again."


def unknown_task_type(
    task_type: str, queue: str, held: int, nodes: Sequence[str], *, capped: bool, knowing: Sequence[str] = ()
) -> str:
    """Nobody of the queue knows the type, or of its ``nodes`` only those that are ``knowing``."""
    more = " or more" if capped else ""
    are = "task is" if held == 1 else "tasks are"
    if knowing:
        know = "knows" if len(knowing) == 1 else "know"
        return (
            f"{held:,}{more} {are} held on queue {queue}: taken by a worker that does not know the task type"
            f" {task_type}. Of those that take from it only {_some(knowing)} {know} the type; what is held is tried"
            " again every few seconds."
        )
    named = _some(nodes)
    who = f"Of those that take from it ({named}) none knows the type" if named else "No worker takes from it"
    return f"{held:,}{more} {are} held on queue {queue}: no living worker of it knows the task type {task_type}. {who}."


def _some(nodes: Sequence[str]) -> str:
    return ", ".join(nodes[:NODES_NAMED]) + (", …" if len(nodes) > NODES_NAMED else "")


def breaker_open(scope: str, name: str, last_error: str | None, *, by_hand: bool) -> str:
    """A circuit breaker lets nothing through, or is tried."""
    hand = " by hand" if by_hand else ""
    means = _MEANS.get(scope, "its calls are held")
    return f"The circuit breaker of {scope} {name} is open{hand}: {means}.{_error(last_error, by_hand=by_hand)}"


def breaker_open_long(scope: str, name: str, held_seconds: float, last_error: str | None, *, by_hand: bool) -> str:
    """It has not closed for long."""
    return (
        f"The circuit breaker of {scope} {name} has not closed for {span(held_seconds)}."
        f"{_error(last_error, by_hand=by_hand)}"
    )


def _error(last_error: str | None, *, by_hand: bool) -> str:
    return "" if last_error is None or by_hand else f" Last error: {last_error}"


def clause(sentence: str) -> str:
    """The same within another sentence: in small letters, without its full stop. Names keep theirs."""
    first = sentence.partition(" ")[0]
    return (sentence if first in _NAMES else sentence[:1].lower() + sentence[1:]).removesuffix(".")
