"""The calls that look at a history, and how long each may take."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from tests.benchmark.history_rows import ERRORS, RARE_CALLER, RARE_ERROR, TENANTS

WINDOWS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""Seconds of the windows of metrics."""
QUICK = 0.025
"""Seconds: for what dashboards ask all the time."""
USUAL = 0.05
"""Seconds: for everything else."""

Path = Callable[[random.Random], str]
_Words = Callable[[random.Random], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, drawn anew for each answer: nothing is asked twice where a draw can tell it apart."""

    path: Path
    at_most: float = USUAL
    """Seconds: 99 of 100 answers are to come within so long."""


@dataclass(slots=True)
class Asked:
    """The answers to one call."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def at(self, share: float) -> float:
        """The time that this share of the answers did not exceed, by nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


@dataclass(frozen=True, slots=True)
class Known:
    """What calls name."""

    task_types: list[str]
    order: str
    """The value of a tag that one task has."""
    waiting: list[str]
    """Ids of tasks that wait."""
    held: list[str]
    ended: list[str]
    error_groups: list[str]
    now: datetime


def calls_of(known: Known) -> Mapping[str, Call]:
    """By name; those of lists begin with ``list``."""
    return {
        **{f"metrics {name}": Call(_window("tasks", seconds), QUICK) for name, seconds in WINDOWS.items()},
        **{f"metrics {name} by caller": Call(_window("tasks", WINDOWS[name], "group_by=caller")) for name in _LONG},
        **dict(_timeseries()),
        "sla": Call(_window("sla", WINDOWS["30d"])),
        "predictions": Call(_window("predictions", WINDOWS["24h"])),
        "queues over 24h": Call(lambda draw: f"/v1/metrics/queues?window_seconds={WINDOWS['24h']}"),
        "workers over 24h": Call(lambda draw: f"/v1/metrics/workers?window_seconds={WINDOWS['24h']}"),
        "queues": Call(lambda draw: "/v1/queues", QUICK),
        "scrape": Call(lambda draw: "/metrics"),
        **_errors(known),
        "explain, waiting": Call(lambda draw: f"/v1/tasks/{draw.choice(known.waiting)}/explain"),
        "explain, held": Call(lambda draw: f"/v1/tasks/{draw.choice(known.held)}/explain"),
        "explain, ended": Call(lambda draw: f"/v1/tasks/{draw.choice(known.ended)}/explain"),
        "explain, queue": Call(lambda draw: "/v1/queues/reports/explain"),
        "task, waiting": Call(lambda draw: f"/v1/tasks/{draw.choice(known.waiting)}"),
        **{f"list {name}".strip(): call for name, call in _lists(known).items()},
    }


_LONG = ("24h", "30d")


def _window(of: str, seconds: int, more: str = "") -> Path:
    # A window that nobody has asked for before.
    return lambda draw: f"/v1/metrics/{of}?window_seconds={seconds - draw.uniform(0, 60):.3f}{more and '&' + more}"


def _timeseries() -> Iterator[tuple[str, Call]]:
    for name in ("1h", "24h", "30d"):
        for group in ("", "task_type"):
            words = f"group_by={group}&top=5" if group else ""
            yield f"timeseries {name} {group}".strip(), Call(_window("timeseries", WINDOWS[name], words))


def _errors(known: Known) -> dict[str, Call]:
    def within(draw: random.Random) -> str:
        after = known.now - timedelta(days=draw.uniform(1, 28))
        return urlencode({"failed_after": after.isoformat(), "failed_before": (after + timedelta(days=1)).isoformat()})

    def since(draw: random.Random) -> str:
        return urlencode({"failed_after": (known.now - timedelta(days=draw.uniform(0.1, 28))).isoformat()})

    return {
        "errors": Call(lambda draw: "/v1/errors"),
        "errors, most, 30 days": Call(lambda draw: f"/v1/errors?order=most&window_seconds={WINDOWS['30d']}"),
        "errors, a queue": Call(lambda draw: "/v1/errors?queue=email"),
        "errors, a task type": Call(lambda draw: f"/v1/errors?task_type={draw.choice(known.task_types)}"),
        "errors, an error": Call(lambda draw: f"/v1/errors?error_type={draw.choice(ERRORS)[0]}"),
        "error": Call(lambda draw: f"/v1/errors/{draw.choice(known.error_groups)}"),
        "dead letters": Call(lambda draw: "/v1/dead-letters"),
        "dead letters, a queue": Call(lambda draw: "/v1/dead-letters?queue=reports"),
        "dead letters since": Call(lambda draw: f"/v1/dead-letters?{since(draw)}"),
        "dead letters of a day": Call(lambda draw: f"/v1/dead-letters?{within(draw)}"),
    }


def _lists(known: Known) -> dict[str, Call]:
    def within(draw: random.Random) -> str:
        return (known.now - timedelta(days=draw.uniform(0.1, 28))).isoformat()

    def tag(name: str, value: object) -> str:
        return f"{name}:{value}"

    task_types = known.task_types
    lists: dict[str, _Words] = {
        "": lambda draw: {},
        **{
            f"state={state}": lambda draw, state=state: {"state": state}  # type: ignore[misc]
            for state in ("queued", "running", "held", "scheduled", "retrying", "succeeded", "failed", "cancelled")
        },
        "state=expired (none)": lambda draw: {"state": "expired"},
        "queue": lambda draw: {"queue": draw.choice(["critical", "email", "reports"])},
        "queue that is not there": lambda draw: {"queue": f"nowhere{draw.randrange(10**6)}"},
        "task_type": lambda draw: {"task_type": draw.choice(task_types)},
        "caller": lambda draw: {"caller": draw.choice(["shop", "audit"])},
        "caller, rare": lambda draw: {"caller": RARE_CALLER},
        "caller, none": lambda draw: {"caller": f"nobody{draw.randrange(10**6)}"},
        "worker": lambda draw: {"worker": f"email@host-{draw.randrange(16)}"},
        "worker, none": lambda draw: {"worker": f"email@host-{draw.randrange(100, 10**6)}"},
        "tag": lambda draw: {"tag": tag("tenant", draw.randrange(TENANTS))},
        "tag of one task": lambda draw: {"tag": tag("order", known.order)},
        "tag, none": lambda draw: {"tag": tag("order", f"x{draw.randrange(10**6)}")},
        "error_type": lambda draw: {"error_type": draw.choice(ERRORS)[0]},
        "error_type, rare": lambda draw: {"error_type": RARE_ERROR},
        "error_type, none": lambda draw: {"error_type": f"E{draw.randrange(10**6)}"},
        "error_group": lambda draw: {"error_group": draw.choice(known.error_groups)},
        "error_message": lambda draw: {"error_message": f"orders/{draw.randrange(10, 99)}"},
        "error_message, none": lambda draw: {"error_message": f"nothing like {draw.randrange(10**6)}"},
        "attempts_at_least": lambda draw: {"attempts_at_least": 3},
        "attempts, none": lambda draw: {"attempts": draw.randrange(9, 99)},
        "replayed (none)": lambda draw: {"replayed": "true"},
        "state and queue": lambda draw: {"state": "failed", "queue": "email"},
        "state=queued and task_type": lambda draw: {"state": "queued", "task_type": draw.choice(task_types)},
        "state=queued and caller, none": lambda draw: {"state": "queued", "caller": f"n{draw.randrange(10**6)}"},
        "state=running and queue": lambda draw: {"state": "running", "queue": "reports"},
        "state=held and task_type": lambda draw: {"state": "held", "task_type": draw.choice(task_types)},
        "task_type and queue that never meet": lambda draw: {"task_type": task_types[0], "queue": "email"},
        "task_type and error_type": lambda draw: {"task_type": draw.choice(task_types), "error_type": "KeyError"},
        "task_type and worker, none": lambda draw: {"task_type": task_types[1], "worker": f"w{draw.randrange(10**6)}"},
        "caller and tag": lambda draw: {"caller": "audit", "tag": tag("tenant", draw.randrange(TENANTS))},
        "caller and worker": lambda draw: {"caller": "ops", "worker": f"email@host-{draw.randrange(16)}"},
        "queue and attempts_at_least": lambda draw: {"queue": "reports", "attempts_at_least": 4},
        "state and tag, none": lambda draw: {"state": "succeeded", "tag": tag("order", f"y{draw.randrange(10**6)}")},
        "submitted_before and tag": lambda draw: {
            "submitted_before": within(draw),
            "tag": tag("tenant", draw.randrange(TENANTS)),
        },
        "submitted_before": lambda draw: {"submitted_before": within(draw)},
        "finished_before": lambda draw: {"finished_before": within(draw)},
        "finished_after and error_type": lambda draw: {"finished_after": within(draw), "error_type": "ValueError"},
        "sort=finished": lambda draw: {"sort": "finished"},
        "sort=finished and state": lambda draw: {"sort": "finished", "state": "failed"},
        "sort=finished and tag": lambda draw: {"sort": "finished", "tag": tag("tenant", draw.randrange(TENANTS))},
        "sort=finished and caller, none": lambda draw: {"sort": "finished", "caller": f"n{draw.randrange(10**6)}"},
        "sort=finished and error_message, none": lambda draw: {
            "sort": "finished",
            "error_message": f"nothing like {draw.randrange(10**6)}",
        },
    }
    quick = {"state=running", "state=held"}
    return {name: Call(_list(words), QUICK if name in quick else USUAL) for name, words in lists.items()}


def _list(words: _Words) -> Path:
    return lambda draw: f"/v1/tasks?{urlencode(words(draw), quote_via=quote)}"
