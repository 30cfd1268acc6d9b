"""What listeners cost, and how soon they know: intake with 500 of them beside intake with none, and the time from an
event to each of 50 while a thousand events happen a second.

All listen to everything, the dearest stream there is, and are read by one process of their own on the same machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.benchmark.intake import BODY, CONNECTIONS
from tests.benchmark.load import Generator, paced, settled
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import in_turn, play
from tests.benchmark.stack import Stack
from tests.stand.environment import ROOT

_MANY = 500
_SOME = 50
_EVENTS_A_SECOND = 1000.0
_EVENTS_A_TASK = 2
"""Its start and its end. Its submission is one more and is not counted."""


def run(quick: bool) -> Report:
    """Three rounds of 4 s a side, or five of 15 s."""
    rounds, seconds = (3, 4.0) if quick else (5, 15.0)
    with Stack() as stack, stack.managed_worker() as node:
        bench = _Live(stack, seconds)

        def one(number: int) -> Round:
            node.pause()
            found = in_turn([bench.without, bench.with_many], number)
            node.resume()
            return found | bench.events()

        found = play(one, rounds)
    return Report(
        name="live",
        rounds=found,
        shown=[
            "intake", "intake_with_500", "events_a_second", "event_to_listener_p50_seconds",
            "event_to_listener_p95_seconds", "left_out",
        ],
        unit="tasks a second; seconds",
        compared={"intake_with_500_listeners": ("intake_with_500", "intake")},
        at_least={"intake_with_500_listeners": 0.9},
        at_most={"event_to_listener_p95_seconds": 1.0, "left_out": 0},
        generator={"name": bench.generator.name, "connections": CONNECTIONS},
        notes=[
            f"intake: {seconds:.0f} s a side, no worker takes anything; {_MANY} listen to all tasks",
            f"event to listener: {_SOME} listen, {_EVENTS_A_SECOND:.0f} starts and ends a second",
            "left_out: tasks that were only counted for a listener, of those events",
        ],
    )  # fmt: skip


class _Live:
    def __init__(self, stack: Stack, seconds: float) -> None:
        self._stack = stack
        self._seconds = seconds
        self.generator = Generator()
        self._url = f"{stack.api_url}/v1/tasks"

    def without(self) -> Round:
        """Intake while nobody listens."""
        return {"intake": self._intake()}

    def with_many(self) -> Round:
        """Intake while many listen to all of it."""
        heard: dict[str, Any] = {}
        with self._listening(_MANY, heard):
            found = self._intake()
        return {"intake_with_500": found, "messages_with_500": heard["messages"], "bytes_with_500": heard["bytes"]}

    def events(self) -> Round:
        """How soon some know of what happens."""
        self._stack.empty()
        heard: dict[str, Any] = {}
        with self._listening(_SOME, heard):
            (*_, whole) = paced(self._url, BODY, _EVENTS_A_SECOND / _EVENTS_A_TASK, self._seconds)
            self._stack.wait(lambda: self._stack.ended() >= whole.answered, "all tasks to end")
        return {
            "events_a_second": _EVENTS_A_TASK * whole.answered / self._seconds,
            "event_to_listener_p50_seconds": heard["p50"],
            "event_to_listener_p95_seconds": heard["p95"],
            "left_out": heard["left_out"],
            "told": heard["told"],
        }

    def _intake(self) -> float:
        self._stack.empty()
        load = self.generator.run(self._url, BODY, CONNECTIONS, self._seconds)
        settled(self._stack.stored)
        return round(load.accepted / load.seconds, 1)

    @contextmanager
    def _listening(self, count: int, heard: dict[str, Any]) -> Iterator[None]:
        """So many listen for the length of the block; then ``heard`` says what they heard."""
        where = urlsplit(self._stack.api_url)
        words = [sys.executable, "-m", "tests.benchmark.listeners", str(where.hostname), str(where.port), str(count)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                if process.stdout.readline() != "listening\n":
                    raise SystemExit("the listeners did not begin")
                yield
                process.stdin.close()
                heard |= json.loads(process.stdout.readline() or "{}")
            finally:
                process.kill()
        if heard.get("cut_off", 1):
            raise SystemExit(f"listeners were cut off: {heard}")
