"""What a call costs whatever has been: ten million ended tasks of thirty days and a million that wait, beside the same
calls with ten thousand.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from tests.benchmark.history_fill import fill
from tests.benchmark.history_rows import ERRORS, RARE_CALLER, RARE_ERROR, TENANTS
from tests.benchmark.report import Report
from tests.benchmark.stack import Stack

FEW = 10_000
_TYPES = 20
_TIMES = 100
_QUICK_TIMES = 30
_CALL_SECONDS = 3.0
"""After so long a call is asked no more, however few answers there are."""
_FEWEST = 5
_LONGEST_WINDOW_DAYS = 30
_METRICS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": _LONGEST_WINDOW_DAYS * 86_400}


@dataclass
class Asked:
    """The answers to one call."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def at(self, share: float) -> float:
        """The time that this share of the answers did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


Calls = Mapping[str, Callable[[random.Random], str]]


def run(quick: bool, tasks: int) -> Report:
    """All calls with few tasks, then with ``tasks`` and a tenth of them that wait."""
    times = _QUICK_TIMES if quick else _TIMES
    began = time.monotonic()
    with Stack() as stack:
        task_types = _task_types(stack)
        dsn = stack.dsn
        fill(dsn, task_types, FEW, FEW // 10, datetime.now(UTC))
        few = _ask(stack, _calls(stack, task_types), _QUICK_TIMES)
        filling = time.monotonic()
        fill(dsn, task_types, tasks, tasks // 10, datetime.now(UTC))
        filled = time.monotonic()
        sizes = _sizes(stack)
        many = _ask(stack, _calls(stack, task_types), times)
    figures = _figures(few, many) | sizes | {"fill_seconds": filled - filling}
    return Report(
        name="history",
        rounds=[figures],
        shown=[
            *(f"metrics_{name}_p99_seconds" for name in _METRICS), "worst_list_p99_seconds", "errors_p99_seconds",
            "queues_p99_seconds", "running_p99_seconds", "scrape_seconds", "answers_503", "bytes_a_task",
        ],
        unit="seconds",
        over_rounds={
            "metrics_24h_vs_10k": round(many["metrics 24h"].at(0.5) / few["metrics 24h"].at(0.5), 3),
            "metrics_7d_vs_24h": round(many["metrics 7d"].at(0.5) / many["metrics 24h"].at(0.5), 3),
            "metrics_30d_vs_24h": round(many["metrics 30d"].at(0.5) / many["metrics 24h"].at(0.5), 3),
        },
        at_most={
            "metrics_24h_p99_seconds": 0.025, "worst_list_p99_seconds": 0.05, "errors_p99_seconds": 0.05,
            "queues_p99_seconds": 0.025, "running_p99_seconds": 0.025, "scrape_seconds": 0.05, "answers_503": 0,
            "bytes_a_task": 700,
        },
        notes=[
            (f"{tasks:,} ended tasks of 30 days and {tasks // 10:,} that wait, filled in {filled - filling:.0f} s;"
            f" beside {FEW:,}; all of it took {time.monotonic() - began:.0f} s"),
            *_table(few, many),
        ],
    )  # fmt: skip


def _figures(few: Mapping[str, Asked], many: Mapping[str, Asked]) -> dict[str, float]:
    lists = [one.at(0.99) for name, one in many.items() if name.startswith("list")]
    errors = [one.at(0.99) for name, one in many.items() if name in ("errors", "dead letters")]
    found = {f"metrics_{name}_p99_seconds": many[f"metrics {name}"].at(0.99) for name in _METRICS}
    return found | {
        "metrics_24h_10k_p99_seconds": few["metrics 24h"].at(0.99),
        "worst_list_p99_seconds": max(lists),
        "errors_p99_seconds": max(errors),
        "queues_p99_seconds": many["queues"].at(0.99),
        "running_p99_seconds": many["list state=running"].at(0.99),
        "scrape_seconds": many["scrape"].at(0.99),
        "answers_503": float(sum(one.statuses.get(503, 0) for one in many.values())),
    }


def _task_types(stack: Stack) -> list[str]:
    """Twenty that the catalogue knows: what a worker publishes of ``noop``, under other names."""
    names = [f"bench.type_{number:02}" for number in range(_TYPES)]
    stack.database.execute(
        "INSERT INTO task_type (name, content_hash, spec) SELECT made, content_hash, spec || jsonb_build_object('name',"
        " made) FROM task_type CROSS JOIN unnest($1::text[]) AS made WHERE name = 'noop'",
        names,
    )
    return names


def _calls(stack: Stack, task_types: list[str]) -> Calls:
    """By name what is asked, drawn anew for each answer. Nothing is asked twice where a draw can tell it apart."""
    order = stack.database.value("SELECT tags->>'order' FROM task WHERE tags ? 'order' ORDER BY id LIMIT 1")
    now = datetime.now(UTC)

    def within(draw: random.Random) -> str:
        return (now - timedelta(days=draw.uniform(0.1, 28))).isoformat()

    def tag(name: str, value: object) -> str:
        return f"{name}:{value}"

    lists: dict[str, Callable[[random.Random], dict[str, object]]] = {
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
        "tag of one task": lambda draw: {"tag": tag("order", order)},
        "tag, none": lambda draw: {"tag": tag("order", f"x{draw.randrange(10**6)}")},
        "error_type": lambda draw: {"error_type": draw.choice(ERRORS)[0]},
        "error_type, rare": lambda draw: {"error_type": RARE_ERROR},
        "error_type, none": lambda draw: {"error_type": f"E{draw.randrange(10**6)}"},
        "error_message": lambda draw: {"error_message": f"orders/{draw.randrange(10, 99)}"},
        "error_message, none": lambda draw: {"error_message": f"nothing like {draw.randrange(10**6)}"},
        "attempts_at_least": lambda draw: {"attempts_at_least": 3},
        "attempts, none": lambda draw: {"attempts": draw.randrange(9, 99)},
        "replayed (none)": lambda draw: {"replayed": "true"},
        "state and queue": lambda draw: {"state": "failed", "queue": "email"},
        "state=queued and task_type": lambda draw: {"state": "queued", "task_type": draw.choice(task_types)},
        "task_type and queue that never meet": lambda draw: {"task_type": task_types[0], "queue": "email"},
        "task_type and error_type": lambda draw: {"task_type": draw.choice(task_types), "error_type": "KeyError"},
        "caller and tag": lambda draw: {"caller": "audit", "tag": tag("tenant", draw.randrange(TENANTS))},
        "state and tag, none": lambda draw: {"state": "succeeded", "tag": tag("order", f"y{draw.randrange(10**6)}")},
        "submitted_before and tag": lambda draw: {
            "submitted_before": within(draw), "tag": tag("tenant", draw.randrange(TENANTS)),
        },
        "submitted_before": lambda draw: {"submitted_before": within(draw)},
        "finished_before": lambda draw: {"finished_before": within(draw)},
        "finished_after and error_type": lambda draw: {"finished_after": within(draw), "error_type": "ValueError"},
        "sort=finished": lambda draw: {"sort": "finished"},
        "sort=finished and state": lambda draw: {"sort": "finished", "state": "failed"},
        "sort=finished and tag": lambda draw: {"sort": "finished", "tag": tag("tenant", draw.randrange(TENANTS))},
        "sort=finished and caller, none": lambda draw: {"sort": "finished", "caller": f"n{draw.randrange(10**6)}"},
    }  # fmt: skip
    return {
        **{f"list {name}".strip(): _list(words) for name, words in lists.items()},
        **{f"metrics {name}": _metrics(seconds) for name, seconds in _METRICS.items()},
        "errors": lambda draw: "/v1/errors",
        "dead letters": lambda draw: "/v1/dead-letters",
        "queues": lambda draw: "/v1/queues",
        "scrape": lambda draw: "/metrics",
    }


def _list(words: Callable[[random.Random], dict[str, object]]) -> Callable[[random.Random], str]:
    return lambda draw: f"/v1/tasks?{urlencode(words(draw), quote_via=quote)}"


def _metrics(seconds: int) -> Callable[[random.Random], str]:
    # A window that nobody has asked for before.
    return lambda draw: f"/v1/metrics/tasks?window_seconds={seconds - draw.randrange(60)}"


def _ask(stack: Stack, calls: Calls, times: int) -> dict[str, Asked]:
    draw = random.Random(3)
    found = {}
    for name, call in calls.items():
        asked = found[name] = Asked()
        until = time.monotonic() + _CALL_SECONDS
        stack.http.get(call(draw))
        while len(asked.seconds) < times and (len(asked.seconds) < _FEWEST or time.monotonic() < until):
            path = call(draw)
            began = time.monotonic()
            answer = stack.http.get(path)
            asked.seconds.append(time.monotonic() - began)
            asked.statuses[answer.status_code] = asked.statuses.get(answer.status_code, 0) + 1
            if answer.status_code not in (200, 404, 422, 503):
                raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
    # What this version does not have is not measured.
    return {name: asked for name, asked in found.items() if 404 not in asked.statuses}


def _sizes(stack: Stack) -> dict[str, float]:
    """What an ended task takes of the disk, with all of its indexes, and which of them takes what."""
    tasks = stack.database.count("task")
    each = "sum(pg_{}_size(c.oid))::float8 / {} FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    of_task = " WHERE i.inhparent = 'task'::regclass"
    found = {
        "bytes_a_task": stack.database.value(f"SELECT {each.format('total_relation', tasks)}{of_task}"),
        "bytes_a_task_rows": stack.database.value(f"SELECT {each.format('table', tasks)}{of_task}"),
    }
    indexes = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'task'::regclass ORDER BY 1"
    for index in stack.database.column(indexes):
        bytes_of = f"SELECT {each.format('relation', tasks)} WHERE i.inhparent = $1::regclass"
        found[f"bytes_a_task_{index}"] = stack.database.value(bytes_of, index)
    return found


def _table(few: Mapping[str, Asked], many: Mapping[str, Asked]) -> Iterator[str]:
    width = max(map(len, many))
    yield f"{'call':<{width}}{'p50 ms':>10}{'p99 ms':>10}{'of few':>10}  answers"
    for name, asked in many.items():
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(asked.statuses.items()))
        median = statistics.median(few[name].seconds)
        yield (
            f"{name:<{width}}{asked.at(0.5) * 1000:>10.1f}{asked.at(0.99) * 1000:>10.1f}{median * 1000:>10.1f}"
            f"  {statuses}"
        )
