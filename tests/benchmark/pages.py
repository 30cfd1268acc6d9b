"""What the dashboard costs with ten million ended tasks and a million that wait: what each page takes the server, what
a browser is sent, and what fifty cost who look on.
"""

import time
from datetime import UTC, datetime

from tests.benchmark import first_load
from tests.benchmark.history import many_at_once, task_types_of
from tests.benchmark.history_calls import Asked
from tests.benchmark.history_fill import fill, say
from tests.benchmark.pages_asked import ask_cold, ask_warm, fill_pages, table
from tests.benchmark.pages_viewed import EVENTS_A_SECOND, VIEWERS, Viewed, viewers
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import LONGEST_HISTORY_SECONDS
from tests.benchmark.stack import Stack

_WARM, _COLD = 0.1, 1.0
_AT_MOST = {
    "worst_page_p99_seconds": _WARM, "worst_page_cold_seconds": _COLD, "pages_failed": 0,
    "first_load_gzip_bytes": 80_000, "first_load_requests": 10, "first_load_other_hosts": 0,
    "repeat_load_gzip_bytes": 15_000, "queries_a_second_50_viewers": 1, "cpu_share_50_viewers": 0.1,
    "event_to_page_p95_seconds": 1,
}  # fmt: skip
_ALSO = (
    "queries_a_second_without", "cpu_share_50_viewers_at_rest", "cpu_share_more_api", "cpu_share_more_postgres",
    "event_to_row_p50_seconds", "event_to_row_p95_seconds", "recorded_to_page_p95_seconds", "events_a_second",
    "bytes_a_second_a_viewer",
)  # fmt: skip
_ROUNDS, _QUICK_ROUNDS = 100, 40
_WARM_SECONDS, _QUICK_WARM_SECONDS = 130.0, 45.0
_REST_SECONDS, _QUICK_REST_SECONDS = 40.0, 20.0
_LOAD_SECONDS, _QUICK_LOAD_SECONDS = 13.0, 8.0


def run(quick: bool, tasks: int) -> Report:
    """Everything on one installation."""
    began = time.monotonic()
    with Stack() as stack:
        task_types = task_types_of(stack)
        with many_at_once(stack):
            fill(stack.dsn, task_types, tasks, tasks // 10, datetime.now(UTC))
        paths = fill_pages(stack, task_types)
        # Thirty days are written within minutes here. What follows upon that is no part of what a page takes.
        stack.settle()
        filled = time.monotonic()
        loads = first_load.measure(stack.api_url)
        warm = ask_warm(
            stack, paths, _QUICK_ROUNDS if quick else _ROUNDS, _QUICK_WARM_SECONDS if quick else _WARM_SECONDS
        )
        cold = ask_cold(stack, [path for path in paths if "?" not in path][:: 3 if quick else 1])
        viewed = Viewed(stack)
        viewed.calm()
        with stack.pools():
            found = viewed.at_rest(_QUICK_REST_SECONDS if quick else _REST_SECONDS)
            say(f"{VIEWERS} have looked on while nothing happened")
            with stack.managed_worker():
                found |= viewed.under_load(_QUICK_LOAD_SECONDS if quick else _LOAD_SECONDS)
    figures = _figures(warm, cold) | found
    figures |= {
        "first_load_gzip_bytes": loads.first_bytes,
        "first_load_requests": loads.first_requests,
        "first_load_other_hosts": loads.other_hosts,
        "repeat_load_gzip_bytes": loads.repeat_bytes,
        "fill_seconds": filled - began,
    }
    return Report(
        name="pages",
        rounds=[figures],
        shown=[*_AT_MOST, *_ALSO],
        unit="seconds; bytes; a second; of one core",
        at_most=_AT_MOST,
        notes=[
            (f"{tasks:,} ended tasks of 30 days, {tasks // 10:,} that wait, filled in {filled - began:.0f} s; all of it"
            f" took {time.monotonic() - began:.0f} s, {LONGEST_HISTORY_SECONDS:.0f} at most"),
            f"first load and repeat: by {loads.by}",
            f"{VIEWERS} viewers: " + ", ".join(f"{count} of {path or 'now'}" for path, count in viewers().items()),
            "at rest, all processes: statements, CPU",
            (f"at {EVENTS_A_SECOND:.0f} starts and ends a second: CPU of all processes but the workers'; from an event"
            " to its row, and to a page that says that it has it"),
            *table(warm, cold, _WARM, _COLD),
        ],
    )  # fmt: skip


def _figures(warm: dict[str, Asked], cold: dict[str, float]) -> Round:
    worst = max(warm.values(), key=lambda one: one.at(0.99))
    return {
        "worst_page_p99_seconds": worst.at(0.99),
        "worst_page_p50_seconds": max(one.at(0.5) for one in warm.values()),
        "worst_page_cold_seconds": max(cold.values()),
        "pages_failed": float(
            sum(count for one in warm.values() for status, count in one.statuses.items() if status >= 500)
        ),
    }
