"""What each page of the dashboard takes the server: again and again, and as the first thing that a process is asked."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import SecretStr
from sqlalchemy import text

from pointsman_contract.states import UNFINISHED, TaskState
from pointsman_service.dashboard.links import ROOT
from pointsman_service.database import create_engine
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from tests.benchmark.history_calls import Asked
from tests.benchmark.history_fill import say
from tests.benchmark.history_rows import RARE_CALLER
from tests.benchmark.stack import Stack
from tests.browser import filling
from tests.browser.paths import paths_of
from tests.browser.site import Site

_MORE = (
    "tasks?caller=" + RARE_CALLER, "tasks?tag=tenant:17&sort=finished", "tasks?tag=order:nobody-has-this",
    "tasks?state=queued", "tasks?state=held", "tasks?state=running", "tasks?error_type=KeyError&sort=finished",
    "tasks?error_message=nothing-like-this", "tasks/many/cancel?state=queued&queue=email",
    "tasks/many/retry?state=failed&queue=reports", "errors?window=month&order=most", "errors?queue=email",
    "queues/email?window=day", "queues/email?window=week", "types?window=week&order=p95",
    "types/bench.type_03?window=week", "breakers?window=week",
)  # fmt: skip
_FEWEST = 5
"""Rounds, however slow pages are."""


class _Installed:
    """The database of a stack as what fills pages for browser tests knows it."""

    def __init__(self, stack: Stack) -> None:
        self.settings = Settings(database_url=SecretStr(stack.database_url), redis_url=SecretStr(stack.redis_url))
        self.store = Store(create_engine(self.settings, "bench"))

    async def run(self, statement: str, **parameters: object) -> list[Any]:
        async with self.store.transaction() as connection:
            found = await connection.execute(text(statement), parameters)
            return list(found) if found.returns_rows else []


def fill_pages(stack: Stack, task_types: Sequence[str]) -> list[str]:
    """Beside the history: alerts, breakers, errors in every standing, a task in each state, an act. Then every path."""

    async def filled() -> list[str]:
        installed = _Installed(stack)
        try:
            # It does what these need of a site of the browser tests: statements, and a store.
            site = cast(Site, installed)
            await filling.fill(site)
            paths = await paths_of(site)
            return [*paths, *_MORE, *[path async for path in _more(site)]]
        finally:
            await installed.store.close()

    paths = asyncio.run(filled())
    return list(dict.fromkeys(path.replace("bench.type_03", task_types[3]) for path in paths))


async def _more(site: Site) -> Any:
    for state in TaskState:
        table = "task_live" if state in UNFINISHED else "task"
        for row in await site.run(f"SELECT id FROM {table} WHERE state = :state ORDER BY id DESC LIMIT 1", state=state):
            yield f"tasks/{row.id}"
    for row in await site.run("SELECT id FROM error_group ORDER BY occurrences DESC LIMIT 1"):
        yield f"errors/{row.id}"
        yield f"errors/{row.id}?window=month"
        yield f"errors/{row.id}/ignore"
        yield f"tasks?error_group={row.id}"
    for row in await site.run("SELECT name FROM worker ORDER BY name LIMIT 1"):
        yield f"workers/{row.name}"


def ask_warm(stack: Stack, paths: Sequence[str], rounds: int, seconds: float) -> dict[str, Asked]:
    """Each page so many times: one after the other in ever another order, so that none is told what was kept for itself
    a moment ago. It ends after ``seconds``.
    """
    draw = random.Random(5)
    found = {path: Asked() for path in paths}
    order = list(paths)
    for path in order:
        _ask(stack.http, path, Asked())
    until = time.monotonic() + seconds
    for number in range(rounds):
        draw.shuffle(order)
        for path in order:
            _ask(stack.http, path, found[path])
        if time.monotonic() > until and number + 1 >= _FEWEST:
            break
    say(f"{len(paths)} pages were asked {len(found[order[0]].seconds)} times each")
    return found


def ask_cold(stack: Stack, paths: Sequence[str]) -> dict[str, float]:
    """Each page once, as the first thing that a process of its own is asked."""
    found = {}
    for path in paths:
        with stack.another_api() as http:
            asked = Asked()
            _ask(http, path, asked)
            found[path] = asked.seconds[0]
    say(f"{len(paths)} processes were asked for their first page")
    return found


def _ask(http: Any, path: str, asked: Asked) -> None:
    began = time.monotonic()
    answer = http.get(f"{ROOT}/{path}", headers={"Accept-Encoding": "gzip", "Accept": "text/html"})
    asked.seconds.append(time.monotonic() - began)
    asked.statuses[answer.status_code] = asked.statuses.get(answer.status_code, 0) + 1
    if answer.status_code >= 500 and answer.status_code != 503:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")


def table(warm: Mapping[str, Asked], cold: Mapping[str, float], warm_most: float, cold_most: float) -> Iterator[str]:
    """A line for each page, the slowest first."""
    width = max(map(len, warm))
    yield f"{'page':<{width}}{'p50 ms':>10}{'p99 ms':>10}{'first ms':>10}  answers"
    for path, asked in sorted(warm.items(), key=lambda one: -one[1].at(0.99)):
        first = f"{cold[path] * 1000:.0f}" if path in cold else ""
        above = asked.at(0.99) > warm_most or cold.get(path, 0.0) > cold_most
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(asked.statuses.items()))
        yield (
            f"{path or '(now)':<{width}}{asked.at(0.5) * 1000:>10.1f}{asked.at(0.99) * 1000:>10.1f}{first:>10}"
            f"  {statuses}{'  above target' if above else ''}"
        )
