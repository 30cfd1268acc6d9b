"""What a capital letter does. Each is asked about first, with what it concerns as it is at that moment."""

import getpass
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

from pointsman_client.answer import JsonObject
from pointsman_client.errors import ClientError
from pointsman_client.top.saying import counted
from pointsman_client.top.targets import WORKERS, Kind, Target, breaker_path
from pointsman_client.transport import Transport

LETTERS = "PCRAEF"


class NoSuchAct(ClientError):
    """The letter means nothing there, or there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before anything is done, and the requests that do it."""

    asks: str
    concerns: str
    """How much it is about."""
    requests: tuple[tuple[str, JsonObject], ...]
    """Path and body of each; the reason comes in."""
    done: str
    once: str = field(default_factory=lambda: str(uuid4()))
    """The same question does its act once, however often it is carried out."""


def question(letter: str, target: Target | None, alerts: tuple[str, ...], transport: Transport) -> Question:
    """What this letter would do to that. ``alerts``: of a cause. Raises ``NoSuchAct``, and the transport's errors."""
    if target is not None:
        if letter == "A" and target.kind is Kind.CAUSE:
            return _know(alerts)
        if (found := _ACTS.get((letter, target.kind))) is not None:
            return found(target, transport)
    raise NoSuchAct(_MEANT.get(letter, "No act has this letter."))


def carry_out(asked: Question, reason: str, transport: Transport) -> str:
    """Do it. What was done, as a sentence. Raises the transport's errors."""
    for number, (path, document) in enumerate(asked.requests):
        transport.post(path, {**document, "reason": reason}, f"{asked.once}-{number}")
    return asked.done


def me() -> str:
    """Who acts, as far as this machine knows."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return "terminal"


def _pause(target: Target, transport: Transport) -> Question:
    (path, _), name = target.paths, target.name
    queue = transport.get(path)
    wait = "waits" if queue["depth"] == 1 else "wait"
    if queue.get("paused"):
        why = f": {queue['pause_reason']}" if queue["pause_reason"] else ""
        concerns = f"{counted(queue['depth'], 'task')} {wait}. Paused by {queue['paused_by']}{why}"
        return Question(f"Let {name} go on?", concerns, ((f"{path}/resume", {}),), f"{name} goes on.")
    stay = "stays" if queue["depth"] == 1 else "stay"
    runs = "runs and ends" if queue["running"] == 1 else "run and end"
    concerns = f"{counted(queue['depth'], 'task')} {wait} and {stay}, {queue['running']:,} {runs}."
    return Question(f"Pause {name}?", concerns, ((f"{path}/pause", {}),), f"{name} is paused.")


def _cancel(target: Target, transport: Transport) -> Question:
    path = target.paths[0]
    task = transport.get(path)
    if task["state"] in _ENDED:
        raise NoSuchAct(
            f"It has {task['state']} already." if task["state"] != "cancelled" else "It is cancelled already."
        )
    running = " It runs: it is told, and killed if it does not end." if task["state"] == "running" else ""
    concerns = f"1 task, {task['task_type']}, {task['state']}.{running} That cannot be undone."
    return Question(f"Cancel {target.name}?", concerns, ((f"{path}/cancel", {}),), "It is being cancelled.")


def _again(target: Target, transport: Transport) -> Question:
    path = target.paths[0]
    task = transport.get(path)
    if task["state"] not in _ENDED - {"succeeded"}:
        raise NoSuchAct(f"It is {task['state']}: only what failed, expired or was cancelled runs again.")
    concerns = f"1 task, {task['task_type']}, {task['state']}: it runs again as a new one."
    return Question(f"Run {target.name} again?", concerns, ((f"{path}/retry", {}),), "It runs again as a new task.")


def _replay(target: Target, transport: Transport) -> Question:
    group = transport.get(target.paths[0])
    wanted: JsonObject = {"error_group": target.name, "state": "failed"}
    found = transport.post("/v1/tasks/retry", wanted | {"dry_run": True})
    count = int(found["tasks"])
    if not count:
        raise NoSuchAct("None of its tasks can run again: they did already, or are gone.")
    # Exactly those that were counted: what failed meanwhile was not asked about.
    body = wanted | {"at_most": count, "submitted_before": found["submitted_before"]}
    tasks = counted(count, "failed task")
    concerns = (
        f"{tasks} of {group['task_type']} ({group['error_type'] or 'other errors'}), each as a new one."
        " Undo: POST /v1/task-acts/ID/undo"
    )
    return Question(f"Run {tasks} again?", concerns, (("/v1/tasks/retry", body),), f"{tasks} run again.")


def _acknowledge(target: Target, transport: Transport) -> Question:
    alert = transport.get(target.paths[0])
    asked = _know((target.name,))
    return Question("Say that you know?", str(alert["summary"]), asked.requests, asked.done)


def _know(alerts: tuple[str, ...]) -> Question:
    if not alerts:
        raise NoSuchAct("No alert tells of it, so there is none to acknowledge.")
    requests = tuple((f"/v1/alerts/{alert}/ack", {"who": me()}) for alert in alerts)
    return Question(
        "Say that you know?",
        f"{counted(len(alerts), 'alert')}. Nothing else changes.",
        requests,
        "Others see that you know.",
    )


def _eject(target: Target, transport: Transport) -> Question:
    items = transport.get(WORKERS)["items"]
    worker = next((one for one in items if one["name"] == target.name), None)
    if worker is None:
        raise NoSuchAct("No worker of this name has been seen lately.")
    path = f"{WORKERS}/{quote(target.name, safe='')}"
    if worker["ejected"]:
        concerns = f"Taken off its queues: {worker['ejected_reason']}"
        return Question(f"Let {target.name} back?", concerns, ((f"{path}/admit", {}),), "It is let back.")
    takes = [one for one in items if one["live"] and not one["ejected"] and not one.get("left")]
    left = sum(one["pool"] == worker["pool"] for one in takes) - (worker in takes)
    concerns = f"It ends what it runs ({worker['busy'] or 0}) and takes nothing new; {left} of its pool go on."
    return Question(f"Take {target.name} off its queues?", concerns, ((f"{path}/eject", {}),), "It is taken off.")


def _force(target: Target, transport: Transport) -> Question:
    path = breaker_path(target.name)
    breaker = transport.get(path)
    if breaker["override"] is not None:
        by = breaker["override"]
        concerns = f"{by['state'].replace('_', ' ')} by {by['actor']}: {by['reason']}"
        return Question(f"Leave {target.name} to itself again?", concerns, ((f"{path}/reset", {}),), "It counts again.")
    concerns = f"It is {breaker['state'].replace('_', ' ')}. What asks for it is held until this is taken back."
    return Question(
        f"Force {target.name} open?", concerns, ((f"{path}/force-open", {}),), f"{target.name} is forced open."
    )


_ENDED = frozenset(("succeeded", "failed", "cancelled", "expired"))
_ACTS: dict[tuple[str, Kind], Callable[[Target, Transport], Question]] = {
    ("P", Kind.QUEUE): _pause,
    ("C", Kind.TASK): _cancel,
    ("R", Kind.TASK): _again,
    ("R", Kind.ERROR): _replay,
    ("A", Kind.ALERT): _acknowledge,
    ("E", Kind.WORKER): _eject,
    ("F", Kind.BREAKER): _force,
}
_MEANT = {
    "P": "P pauses a queue: choose one.",
    "C": "C cancels a task: choose one.",
    "R": "R runs again: choose a task or an error group.",
    "A": "A acknowledges: choose a cause or an alert.",
    "E": "E takes a worker off its queues: choose one.",
    "F": "F forces a breaker: choose one.",
}
