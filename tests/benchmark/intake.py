"""How many submissions a second one API process makes durable, beside ``celery.send_task`` in one's own process.

Every loop of the control plane runs; no worker does, so that only taking in is measured: what the short window does not
hold waits in PostgreSQL.
"""

import json
import statistics
import time
from collections.abc import Callable

from redis import Redis

from tests.benchmark.bare_celery import bare_app, send_for
from tests.benchmark.load import Generator, Load
from tests.benchmark.report import Report, Round
from tests.benchmark.stack import SERVICE, Stack

_KWARGS = {"user_id": 4217, "template": "reminder", "to": "a@example.org"}
_TASK = {"task_type": "noop", "kwargs": _KWARGS}
_SINGLE_CONNECTIONS = 64
_BATCH_CONNECTIONS = 4
_BATCH_TASKS = 500
_WARM_UP_SECONDS = 1.0
_QUIET_SECONDS = 0.5


def run(quick: bool) -> Report:
    """Three rounds of 3 s a side, or five of 10 s."""
    rounds, seconds = (3, 3.0) if quick else (5, 10.0)
    with Stack() as stack:
        bench = _Intake(stack, seconds)
        bench.warm_up()
        found = [bench.round(number) for number in range(rounds)]
    busiest = max(max(one["single_generator_cpu"], one["batch_generator_cpu"]) for one in found)
    idle = [one["send_task_service_cpu"] for one in found]
    direct = ", ".join(f"{one['single_sent']:.0f}" for one in found)
    return Report(
        name="intake",
        rounds=found,
        rates=["single", "batch", "send_task"],
        compared={"single_vs_send_task": ("single", "send_task"), "batch_vs_send_task": ("batch", "send_task")},
        targets={"single_vs_send_task": 1.7, "batch_vs_send_task": 11.0},
        generator={"name": bench.generator.name, "most_cpu_share": busiest},
        notes=[
            f"{_SINGLE_CONNECTIONS} connections; batches of {_BATCH_TASKS} over {_BATCH_CONNECTIONS} connections",
            f"load from {bench.generator.name}, which took at most {busiest:.0%} of one core",
            f"beside send_task the idle service took {statistics.median(idle):.0%} of one core",
            "every 202 was found in PostgreSQL",
            f"of the single submissions, sent to the broker by the end of their round: {direct}; the rest waited",
        ],
    )


class _Intake:
    def __init__(self, stack: Stack, seconds: float) -> None:
        self._stack = stack
        self._seconds = seconds
        self._bare = Redis.from_url(stack.bare_url(1))
        self._sender = bare_app(stack.bare_url(1))
        self.generator = Generator()
        self._single = json.dumps(_TASK).encode()
        self._batch = json.dumps({"tasks": [_TASK] * _BATCH_TASKS}).encode()

    def warm_up(self) -> None:
        """Connections are open, code and caches warm."""
        self._stack.empty()
        self._post("/v1/tasks", self._single, _SINGLE_CONNECTIONS, _WARM_UP_SECONDS)
        self._post("/v1/tasks/batch", self._batch, _BATCH_CONNECTIONS, _WARM_UP_SECONDS)
        send_for(self._sender, _WARM_UP_SECONDS / 2, _KWARGS)

    def round(self, number: int) -> Round:
        """Every side once, in another order each round."""
        sides: list[Callable[[], Round]] = [self._send_task, self._singles, self._batches]
        found: Round = {}
        for turn in range(len(sides)):
            self._stack.empty()
            self._bare.flushdb()
            found |= sides[(number + turn) % len(sides)]()
        return found

    def _send_task(self) -> Round:
        before = self._stack.cpu_seconds()
        sent, seconds = send_for(self._sender, self._seconds, _KWARGS)
        after = self._stack.cpu_seconds()
        if self._bare.llen("celery") != sent:
            raise SystemExit("send_task lost messages")
        idle = sum(after[part] - before[part] for part in SERVICE) / seconds
        return {"send_task": sent / seconds, "send_task_service_cpu": round(idle, 3)}

    def _singles(self) -> Round:
        before = self._stack.cpu_seconds()
        load = self._post("/v1/tasks", self._single, _SINGLE_CONNECTIONS, self._seconds)
        cpu = self._cpu_us("single", before, load.accepted)
        self._require_stored(load.accepted, 1, _SINGLE_CONNECTIONS)
        return (
            {"single": load.accepted / load.seconds, "single_sent": self._stack.sent()} | _details("single", load) | cpu
        )

    def _batches(self) -> Round:
        before = self._stack.cpu_seconds()
        load = self._post("/v1/tasks/batch", self._batch, _BATCH_CONNECTIONS, self._seconds)
        tasks = load.accepted * _BATCH_TASKS
        cpu = self._cpu_us("batch", before, tasks)
        self._require_stored(tasks, _BATCH_TASKS, _BATCH_CONNECTIONS)
        return {"batch": tasks / load.seconds} | _details("batch", load) | cpu

    def _post(self, path: str, body: bytes, connections: int, seconds: float) -> Load:
        load = self.generator.run(self._stack.api_url + path, body, connections, seconds)
        # What the generator left unanswered is still being stored, and must not be counted to the next side.
        before, stored = -1, self._stack.stored()
        while stored != before:
            time.sleep(_QUIET_SECONDS)
            before, stored = stored, self._stack.stored()
        return load

    def _cpu_us(self, name: str, before: dict[str, float], tasks: int) -> Round:
        after = self._stack.cpu_seconds()
        return {f"{name}_{part}_cpu_us": round(1e6 * (after[part] - before[part]) / tasks, 1) for part in after}

    def _require_stored(self, accepted: int, tasks_a_request: int, connections: int) -> None:
        """Raises SystemExit when a 202 has no row, or a row had no request."""
        unanswered = connections * tasks_a_request if self.generator.may_leave_unanswered else 0
        stored = self._stack.stored()
        if not accepted <= stored <= accepted + unanswered:
            raise SystemExit(f"{accepted} tasks were answered 202, {stored} are stored")


def _details(name: str, load: Load) -> Round:
    return {f"{name}_p50_ms": load.p50_ms, f"{name}_p99_ms": load.p99_ms, f"{name}_generator_cpu": load.cpu_share}
