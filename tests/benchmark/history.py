"""What a call costs whatever has been: ten million ended tasks of thirty days and a million that wait, beside the same
calls with ten thousand.
"""

import random
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from tests.benchmark.history_calls import QUICK, USUAL, WINDOWS, Asked, Call, Known, calls_of
from tests.benchmark.history_fill import fill, say
from tests.benchmark.report import Report
from tests.benchmark.rounds import LONGEST_HISTORY_SECONDS
from tests.benchmark.stack import Stack

FEW = 10_000
_TYPES = 20
_TIMES = 300
_QUICK_TIMES = 60
_CALL_SECONDS = 3.0
"""After so long a call is asked no more, however few answers there are."""
_FEWEST = 5
_FIRST_CALLS = 5
_IDS = 500
_FAMILY = "# TYPE "
_ERRORS = ("error", "dead letters")
_AT_MOST = {
    "metrics_24h_p99_seconds": QUICK, "worst_list_p99_seconds": USUAL, "errors_p99_seconds": USUAL,
    "queues_p99_seconds": QUICK, "queues_first_seconds": QUICK, "running_p99_seconds": QUICK,
    "explain_p99_seconds": USUAL, "scrape_seconds": USUAL, "families_left_out": 0, "answers_503": 0,
    "bytes_a_task": 700, "metrics_24h_vs_10k": 1.5, "metrics_7d_vs_24h": 3, "metrics_30d_vs_24h": 3,
}  # fmt: skip


def run(quick: bool, tasks: int) -> Report:
    """All calls with few tasks, then with ``tasks`` and a tenth of them that wait."""
    began = time.monotonic()
    with Stack() as stack:
        task_types = task_types_of(stack)
        fill(stack.dsn, task_types, FEW, FEW // 10, datetime.now(UTC))
        few = _ask(stack, calls_of(_known(stack, task_types)), _QUICK_TIMES)
        families = _families(stack)
        filling = time.monotonic()
        with many_at_once(stack):
            fill(stack.dsn, task_types, tasks, tasks // 10, datetime.now(UTC))
        filled = time.monotonic()
        first = _first_queues(stack)
        calls = calls_of(_known(stack, task_types))
        many = _ask(stack, calls, _QUICK_TIMES if quick else _TIMES)
        left_out = families - _families(stack)
        sizes = _sizes(stack)
    figures = _figures(few, many) | {"queues_first_seconds": statistics.median(first)} | sizes
    figures |= {"families_left_out": float(len(left_out)), "fill_seconds": filled - filling}
    return Report(
        name="history",
        rounds=[figures],
        shown=[
            *(f"metrics_{name}_p99_seconds" for name in WINDOWS), "worst_list_p99_seconds", "errors_p99_seconds",
            "queues_p99_seconds", "queues_first_seconds", "running_p99_seconds", "explain_p99_seconds",
            "scrape_seconds", "families_left_out", "answers_503", "bytes_a_task",
        ],
        unit="seconds",
        over_rounds={
            "metrics_24h_vs_10k": _ratio(many["metrics 24h"], few["metrics 24h"]),
            "metrics_7d_vs_24h": _ratio(many["metrics 7d"], many["metrics 24h"]),
            "metrics_30d_vs_24h": _ratio(many["metrics 30d"], many["metrics 24h"]),
        },
        at_most=_AT_MOST,
        notes=[
            (f"{tasks:,} ended tasks of 30 days and {tasks // 10:,} that wait, filled in {filled - filling:.0f} s;"
            f" beside {FEW:,}; all of it took {time.monotonic() - began:.0f} s, {LONGEST_HISTORY_SECONDS:.0f} at most"),
            f"the database has {sizes['database_bytes'] / 1e9:.1f} GB",
            f"the first /v1/queues of {_FIRST_CALLS} processes, ms: {', '.join(f'{one * 1000:.1f}' for one in first)}",
            *([f"left out of /metrics: {', '.join(sorted(left_out))}"] if left_out else []),
            *_table(calls, few, many),
        ],
    )  # fmt: skip


def _figures(few: Mapping[str, Asked], many: Mapping[str, Asked]) -> dict[str, float]:
    def worst(*beginnings: str) -> float:
        return max(one.at(0.99) for name, one in many.items() if name.startswith(beginnings))

    found = {f"metrics_{name}_p99_seconds": many[f"metrics {name}"].at(0.99) for name in WINDOWS}
    return found | {
        "metrics_24h_10k_p99_seconds": few["metrics 24h"].at(0.99),
        "worst_list_p99_seconds": worst("list"),
        "errors_p99_seconds": worst(*_ERRORS),
        "queues_p99_seconds": many["queues"].at(0.99),
        "running_p99_seconds": worst("list state=running", "list state=held"),
        "explain_p99_seconds": worst("explain"),
        "scrape_seconds": many["scrape"].at(0.99),
        "answers_503": float(sum(one.statuses.get(503, 0) for one in many.values())),
    }


def _ratio(one: Asked, other: Asked) -> float:
    return round(one.at(0.5) / other.at(0.5), 3)


def task_types_of(stack: Stack) -> list[str]:
    """Twenty that the catalogue knows: what a worker publishes of ``noop``, under other names."""
    names = [f"bench.type_{number:02}" for number in range(_TYPES)]
    stack.database.execute(
        "INSERT INTO task_type (name, content_hash, spec) SELECT made, content_hash, spec || jsonb_build_object('name',"
        " made) FROM task_type CROSS JOIN unnest($1::text[]) AS made WHERE name = 'noop'",
        names,
    )
    return names


def many_at_once(stack: Stack) -> AbstractContextManager[None]:
    """Gigabytes in a few minutes: without this a checkpoint would follow the other."""
    return stack.configured({"max_wal_size": "8GB", "checkpoint_timeout": "30min"})


def _known(stack: Stack, task_types: list[str]) -> Known:
    def ids(of: str) -> list[str]:
        return [str(one) for one in stack.database.column(f"SELECT id FROM {of} LIMIT {_IDS}")]

    some = "task_live TABLESAMPLE SYSTEM (least(100, 100 * 20000.0 / (SELECT count(*) FROM task_live)))"
    return Known(
        task_types=task_types,
        order=str(stack.database.value("SELECT tags->>'order' FROM task WHERE tags ? 'order' ORDER BY id LIMIT 1")),
        waiting=ids(f"{some} WHERE place = 'waiting' ORDER BY hashtext(id::text)"),
        held=ids("task_live WHERE place = 'held'"),
        ended=ids("task ORDER BY id DESC"),
        error_groups=[
            str(one) for one in stack.database.column("SELECT id FROM error_group ORDER BY occurrences DESC")
        ],
        now=datetime.now(UTC),
    )


def _ask(stack: Stack, calls: Mapping[str, Call], times: int) -> dict[str, Asked]:
    draw = random.Random(3)
    found = {}
    for number, (name, call) in enumerate(calls.items()):
        asked = found[name] = Asked()
        until = time.monotonic() + _CALL_SECONDS
        stack.http.get(call.path(draw))
        while len(asked.seconds) < times and (len(asked.seconds) < _FEWEST or time.monotonic() < until):
            path = call.path(draw)
            began = time.monotonic()
            answer = stack.http.get(path)
            asked.seconds.append(time.monotonic() - began)
            asked.statuses[answer.status_code] = asked.statuses.get(answer.status_code, 0) + 1
            if answer.status_code not in (200, 422, 503):
                raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
        if number % 10 == 9 or number == len(calls) - 1:
            say(f"{number + 1} of {len(calls)} calls are asked")
    return found


def _first_queues(stack: Stack) -> list[float]:
    """How long the first call of ``/v1/queues`` takes a process that has just begun."""
    found = []
    for _ in range(_FIRST_CALLS):
        with stack.another_api() as http:
            began = time.monotonic()
            http.get("/v1/queues").raise_for_status()
            found.append(time.monotonic() - began)
    return found


def _families(stack: Stack) -> set[str]:
    """The families of ``/metrics``."""
    lines = stack.http.get("/metrics").text.splitlines()
    return {line.removeprefix(_FAMILY).split()[0] for line in lines if line.startswith(_FAMILY)}


def _sizes(stack: Stack) -> dict[str, float]:
    """What an ended task takes of the disk, with all of its indexes, and which of them takes what."""
    tasks = stack.database.count("task")
    each = "sum(pg_{}_size(c.oid))::float8 / {} FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    of_task = " WHERE i.inhparent = 'task'::regclass"
    found = {
        "database_bytes": float(stack.database.value("SELECT pg_database_size(current_database())")),
        "bytes_a_task": stack.database.value(f"SELECT {each.format('total_relation', tasks)}{of_task}"),
        "bytes_a_task_rows": stack.database.value(f"SELECT {each.format('table', tasks)}{of_task}"),
    }
    indexes = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'task'::regclass ORDER BY 1"
    for index in stack.database.column(indexes):
        bytes_of = f"SELECT {each.format('relation', tasks)} WHERE i.inhparent = $1::regclass"
        found[f"bytes_a_task_{index}"] = stack.database.value(bytes_of, index)
    return found


def _table(calls: Mapping[str, Call], few: Mapping[str, Asked], many: Mapping[str, Asked]) -> Iterator[str]:
    width = max(map(len, many))
    yield f"{'call':<{width}}{'p50 ms':>10}{'p99 ms':>10}{'at most':>10}{'p50 of few':>12}  answers"
    for name, asked in many.items():
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(asked.statuses.items()))
        above = "  above target" if asked.at(0.99) > calls[name].at_most else ""
        yield (
            f"{name:<{width}}{asked.at(0.5) * 1000:>10.1f}{asked.at(0.99) * 1000:>10.1f}"
            f"{calls[name].at_most * 1000:>10.0f}{few[name].at(0.5) * 1000:>12.1f}  {statuses}{above}"
        )
