"""What fifty who look at pages cost, and how soon they see what happens."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.benchmark.idle import statements_by_process
from tests.benchmark.intake import BODY
from tests.benchmark.load import paced
from tests.benchmark.report import Round
from tests.benchmark.stack import SERVICE, Stack
from tests.benchmark.viewers import WARM_UP_SECONDS
from tests.stand.environment import ROOT

VIEWERS = 50
EVENTS_A_SECOND = 1000.0
_EVENTS_A_TASK = 2
"""Its start and its end. Its submission is one more and is not counted."""
_MARKS_A_SECOND = 4.0
_TAG = "bench:page"
_MARKED = f"tasks?tag={_TAG}"
_UNTOUCHED = ("errors",)
"""Of a task that succeeds these pages show nothing, and are not looked at for it."""
_SETTLE_SECONDS = 45.0
"""A page that stays the same is looked at ever later."""
_CALM = (
    "DELETE FROM breaker",
    "UPDATE alert SET resolved_at = now() WHERE resolved_at IS NULL",
    "UPDATE queue_pause SET paused = false",
    "DELETE FROM worker WHERE last_seen_at > now() + interval '1 minute' OR last_seen_at < now() - interval '1 minute'",
)
_LIVE_TABLES = ("task_live", "backlog", "backlog_delta", "outbox")


def viewers(marked: str = "tasks") -> dict[str, int]:
    """How many look at what: most at the first page, as when something is wrong."""
    return {"": 22, marked: 10, "queues": 6, "errors": 5, "workers": 4, "breakers": 3}


_TAKEN = (*SERVICE, "postgres", "valkey")
"""Whose CPU counts."""


@dataclass
class _Heard:
    """What viewers say that they saw, once they have ended."""

    pages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    since: float = 0.0
    seconds: float = 0.0
    marked: Sequence[str] = ()
    """Tasks of the list that some look at."""

    def waits(self, path: str) -> Sequence[float]:
        """From moments to when a page said that it has everything up to there."""
        found: Sequence[float] = self.pages[path]["waits"]
        return found


class Viewed:
    """One installation, with and without its viewers."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def at_rest(self, seconds: float) -> Round:
        """Statements a second of the API process and the share of a core that they take more while nothing happens."""
        before = self._rest(seconds)
        with self._looking(viewers()):
            time.sleep(_SETTLE_SECONDS)
            during = self._rest(seconds)
        return {
            "queries_a_second_50_viewers": during["statements"] - before["statements"],
            "queries_a_second_without": before["statements"],
            "cpu_share_50_viewers_at_rest": during["cpu"] - before["cpu"],
        }

    def under_load(self, seconds: float) -> Round:
        """The share of a core that they take more at a thousand events a second, and how soon each sees them. Either is
        measured twice, first and last without them: what the servers do by themselves, and ever more of, is in both.
        """
        without, looking, heard = [self._loaded({}, seconds)], [], []
        for _ in range(2):
            heard.append(_Heard())
            looking.append(self._loaded(viewers(_MARKED), seconds, heard[-1]))
        without.append(self._loaded({}, seconds))
        more = {name: (sum(one[name] for one in looking) - sum(one[name] for one in without)) / 2 for name in _TAKEN}
        waits = sorted(
            one for part in heard for path in part.pages if path not in _UNTOUCHED for one in part.waits(path)
        )
        rows = sorted(one for part in heard for one in self._until_seen(part))
        if not rows or not waits:
            raise SystemExit(f"nobody saw anything: {str(heard)[:500]}")
        paths, looked = heard[0].pages, sum(part.seconds for part in heard)
        return {
            "event_to_page_p95_seconds": max(_at(rows, 0.95), _at(waits, 0.95)),
            "event_to_row_p50_seconds": _at(rows, 0.5),
            "event_to_row_p95_seconds": _at(rows, 0.95),
            "recorded_to_page_p95_seconds": _at(waits, 0.95),
            "events_a_second": sum(one["tasks"] for one in looking) * _EVENTS_A_TASK / seconds / 2,
            "cpu_share_50_viewers": sum(more.values()),
            **{f"cpu_share_more_{name}": share for name, share in more.items()},
            **{
                f"page_p95_seconds_{_named(path)}": _at(sorted(one for part in heard for one in part.waits(path)), 0.95)
                for path in paths
            },
            **{
                f"messages_a_second_{_named(path)}": sum(part.pages[path]["messages"] for part in heard) / looked
                for path in paths
            },
            "bytes_a_second_a_viewer": sum(page["bytes"] for part in heard for page in part.pages.values())
            / looked
            / VIEWERS,
        }  # fmt: skip

    def calm(self) -> None:
        """The history stays. Nothing waits any more, for what follows would wait behind it, and nothing is wrong; there
        is no worker but those that run.
        """
        self._stack.empty(_LIVE_TABLES)
        for words in _CALM:
            self._stack.database.execute(words)

    def _empty(self) -> None:
        self._stack.empty(_LIVE_TABLES)

    def _rest(self, seconds: float) -> dict[str, float]:
        since = self._stack.cpu_seconds()
        with self._stack.statements_logged() as log:
            time.sleep(seconds)
            statements = statements_by_process(log())
        cpu = sum(_spent(since, self._stack.cpu_seconds()).values()) / seconds
        return {"cpu": cpu, "statements": statements["api"] / seconds}

    def _loaded(self, wanted: Mapping[str, int], seconds: float, heard: "_Heard | None" = None) -> dict[str, float]:
        """CPU by process while tasks come in, some of which are marked for a list of theirs."""
        self._empty()
        marked: list[str] = []
        with self._looking(wanted, heard), _marking(self._stack.api_url, marked):
            time.sleep(1.0)
            # Counted before, for that takes seconds of CPU with a long history.
            ended = self._stack.ended()
            since = self._stack.cpu_seconds()
            rate = EVENTS_A_SECOND / _EVENTS_A_TASK - _MARKS_A_SECOND
            (*_, whole) = paced(f"{self._stack.api_url}/v1/tasks", BODY, rate, seconds)
            spent = _spent(since, self._stack.cpu_seconds())
            self._stack.wait(lambda: self._stack.ended() >= ended + whole.answered, "all tasks to end")
        if heard is not None:
            heard.marked = marked
        return {name: spent.get(name, 0.0) / seconds for name in _TAKEN} | {"tasks": float(whole.answered)}

    def _until_seen(self, heard: "_Heard") -> Iterator[float]:
        """From the submission of each marked task, and from its end, to when each viewer had it on its page."""
        page = heard.pages[_MARKED]
        for task in heard.marked:
            columns = "ARRAY[extract(epoch FROM submitted_at), extract(epoch FROM finished_at)]::float8[]"
            submitted, finished = self._stack.database.value(f"SELECT {columns} FROM task WHERE id = $1", task)
            if submitted > heard.since + WARM_UP_SECONDS:
                yield from (at - submitted for at in page["seen"].get(task, ()))
                yield from (at - finished for at in page["ended"].get(task, ()))

    @contextmanager
    def _looking(self, wanted: Mapping[str, int], heard: _Heard | None = None) -> Iterator[None]:
        """So many look for the length of the block; then ``heard`` says what they saw."""
        if not wanted:
            yield
            return
        where = urlsplit(self._stack.api_url)
        words = [sys.executable, "-m", "tests.benchmark.viewers", str(where.hostname), str(where.port)]
        words += [f"{path}={count}" for path, count in wanted.items()]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                if process.stdout.readline() != "looking\n":
                    raise SystemExit("the viewers did not begin")
                yield
                # What was recorded last is to be seen, too.
                time.sleep(1.5)
                process.stdin.close()
                found = json.loads(process.stdout.readline() or "{}")
            finally:
                process.kill()
        if found.get("cut_off", 1):
            raise SystemExit(f"viewers were cut off: {str(found)[:500]}")
        if heard is not None:
            heard.pages, heard.since, heard.seconds = found["pages"], found["since"], found["seconds"]


@contextmanager
def _marking(url: str, marked: list[str]) -> Iterator[None]:
    """Some marked tasks a second, whose ids are added."""
    over = threading.Event()

    def submit() -> None:
        body = json.loads(BODY) | {"tags": dict([_TAG.split(":")])}
        with httpx.Client(base_url=url, trust_env=False) as http:
            while not over.wait(1 / _MARKS_A_SECOND):
                answer = http.post("/v1/tasks", json=body)
                answer.raise_for_status()
                marked.append(answer.json()["id"])

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _spent(since: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {name: spent - since.get(name, 0.0) for name, spent in now.items()}


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _named(path: str) -> str:
    return re.sub(r"\W+", "_", path.partition("?")[0]) or "now"
