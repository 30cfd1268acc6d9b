"""``python -m tests.benchmark.paced_load URL BODY_FILE RATE SECONDS INTERVAL``: load at a fixed rate.

A request is due at a fixed moment, and its latency counts from there: one that has to wait because earlier ones are
slow waits on our clock ("coordinated omission" leaves that out). Prints a line of JSON for each interval of so many
seconds, and one for the whole. Latencies are up to a millisecond too long: that is how exact a timer is.
"""

import asyncio
import json
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.benchmark.http_connection import Connection, post

_CONNECTIONS = 256
"""Most requests under way at once; further ones wait, on the clock."""
_LONGEST_ANSWER_SECONDS = 30.0


class _Load:
    def __init__(self, rate: float, seconds: float, interval: float) -> None:
        self._rate = rate
        self._seconds = seconds
        self._interval = interval
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._due_at: dict[Connection, float] = {}
        self._all_answered = asyncio.Event()
        self._said = 0
        self.waits = array("d")
        self.refused = 0

    async def run(self, url: str, body: bytes) -> None:
        request = post(url, body)
        self._idle.extend([await Connection.opened(url, request, self._answered) for _ in range(_CONNECTIONS)])
        since = time.perf_counter()
        due, said, sent = since, 0, 0
        while due < since + self._seconds:
            now = time.perf_counter()
            if due > now:
                await asyncio.sleep(due - now)
            self._take(due)
            sent += 1
            due = since + sent / self._rate
            while due - since >= self._interval * (said + 1):
                said += 1
                self._say(f"interval {said}", time.perf_counter() - since)
        if self._due_at:
            async with asyncio.timeout(_LONGEST_ANSWER_SECONDS):
                await self._all_answered.wait()
        took = time.perf_counter() - since
        self._say("whole", took)

    def _take(self, due: float) -> None:
        self._all_answered.clear()
        if self._idle:
            # In turn: a server hangs up on a connection that is idle for long.
            connection = self._idle.popleft()
            self._due_at[connection] = due
            connection.ask()
        else:
            self._waiting.append(due)

    def _answered(self, connection: Connection, accepted: bool) -> None:
        self.waits.append(time.perf_counter() - self._due_at.pop(connection))
        self.refused += not accepted
        self._idle.append(connection)
        if self._waiting:
            self._take(self._waiting.popleft())
        elif not self._due_at:
            self._all_answered.set()

    def _say(self, what: str, at: float) -> None:
        start = self._said if what != "whole" else 0
        waits = sorted(self.waits[start:])
        self._said = len(self.waits)
        found = {"what": what, "at": at, "answered": len(waits), "refused": self.refused, **_in_ms(waits)}
        print(json.dumps(found), flush=True)


def _in_ms(waits: Sequence[float]) -> dict[str, float]:
    """Percentiles of sorted seconds."""
    if not waits:
        return {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
    return {
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p99_ms": 1000 * waits[min(len(waits) - 1, len(waits) * 99 // 100)],
        "max_ms": 1000 * waits[-1],
    }


if __name__ == "__main__":
    url, path, rate, seconds, interval = sys.argv[1:]
    uvloop.run(_Load(float(rate), float(seconds), float(interval)).run(url, Path(path).read_bytes()))
