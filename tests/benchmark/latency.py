"""How long it takes: from submitted to started while nothing else waits, and for the 202 at half of the most one API
process takes.

The load for the 202 is open: a request is sent when it is due, whatever became of those before, and its latency counts
from then. Submitted is when the caller begins to send, started what the gate writes down, both on this machine's clock.
"""

import http.client
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tests.benchmark.intake import BODY, CONNECTIONS
from tests.benchmark.load import Generator, paced, settled
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import play
from tests.benchmark.stack import Node, Stack

_SPACING_SECONDS = (0.05, 0.15)
"""Between two idle submissions, drawn anew each time: never in step with a loop of ours."""
_LONGEST_SECONDS = 30.0
_LOOK_SECONDS = 0.1


def run(quick: bool) -> Report:
    """Three rounds of 40 idle tasks and 4 s of load, or five of 200 and 20 s."""
    rounds, tasks, seconds = (3, 40, 4.0) if quick else (5, 200, 20.0)
    with Stack() as stack, stack.managed_worker() as node:
        bench = _Latency(stack, node, tasks, seconds)
        bench.warm_up()
        found = play(bench.round, rounds)
    return Report(
        name="latency",
        rounds=found,
        shown=[*(f"{what}_{figure}_ms" for what in ("started", "half_load") for figure in ("p50", "p99", "max"))],
        unit="ms",
        at_most={"started_p50_ms": 20, "half_load_p99_ms": 40},
        generator={"name": "a Python generator at a fixed rate", "rate": statistics.median(r["rate"] for r in found)},
        notes=[
            f"started: {tasks} no-ops a round, one at a time, four warm worker processes",
            f"half_load: {seconds:.0f} s a round at half of what {CONNECTIONS} connections got just before: "
            + ", ".join(f"{one['rate']:.0f}/s" for one in found),
            "every 202 was found in PostgreSQL",
        ],
    )


class _Latency:
    def __init__(self, stack: Stack, node: Node, tasks: int, seconds: float) -> None:
        self._stack = stack
        self._node = node
        self._tasks = tasks
        self._seconds = seconds
        self._generator = Generator()

    def warm_up(self) -> None:
        """Every process has done its work once."""
        self._idle(20)

    def round(self, number: int) -> Round:
        """Both figures, one after the other."""
        idle = self._idle(self._tasks)
        self._node.pause()
        rate = self._most() / 2
        self._stack.empty()
        (*_, whole) = paced(f"{self._stack.api_url}/v1/tasks", BODY, rate, self._seconds)
        if self._stack.stored() != whole.answered:
            raise SystemExit(f"{whole.answered} tasks were answered 202, {self._stack.stored()} are stored")
        self._stack.empty()
        self._node.resume()
        return {
            **_spread("started", idle),
            "rate": round(rate, 1),
            "half_load_p50_ms": round(whole.p50_ms, 3),
            "half_load_p99_ms": round(whole.p99_ms, 3),
            "half_load_max_ms": round(whole.max_ms, 3),
        }

    def _most(self) -> float:
        self._stack.empty()
        load = self._generator.run(f"{self._stack.api_url}/v1/tasks", BODY, CONNECTIONS, max(self._seconds / 4, 2))
        settled(self._stack.stored)
        return load.accepted / load.seconds

    def _idle(self, tasks: int) -> list[float]:
        """Seconds from submitted to started, of tasks that find everything idle."""
        self._stack.empty()
        submitted = [self._submit() for _ in range(tasks)]
        deadline = time.monotonic() + _LONGEST_SECONDS
        while self._stack.ended() < tasks:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self._stack.ended()} of {tasks} tasks have ended")
            time.sleep(_LOOK_SECONDS)
        started: Sequence[datetime] = self._stack.database.column("SELECT started_at FROM task ORDER BY id")
        return [(at - since).total_seconds() for at, since in zip(started, submitted, strict=True)]

    def _submit(self) -> datetime:
        time.sleep(random.uniform(*_SPACING_SECONDS))
        parts = urlsplit(self._stack.api_url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
        connection.connect()
        since = datetime.now(UTC)
        connection.request("POST", "/v1/tasks", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 202:
            raise SystemExit(f"a submission was not accepted: {answer.read()[:500]!r}")
        connection.close()
        return since


def _spread(name: str, seconds: Sequence[float]) -> Round:
    ms = sorted(1000 * one for one in seconds)
    middle = statistics.median(ms)
    return {
        f"{name}_p50_ms": round(middle, 3),
        f"{name}_p99_ms": round(ms[len(ms) * 99 // 100], 3),
        f"{name}_max_ms": round(ms[-1], 3),
    }
