"""How many submissions a second one API process makes durable, beside ``celery.send_task`` in one's own process and
beside what others put behind HTTP.

Every loop of the control plane runs; no worker does, so that only taking in is measured: what the short window does not
hold waits in PostgreSQL. All peers share the PostgreSQL and the Valkey, and wait, idle, for their turn.
"""

import json
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from tests.benchmark.load import Generator, Load, settled
from tests.benchmark.peers import running, tables
from tests.benchmark.peers.bare_celery import bare_app, send_for
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import in_turn, play
from tests.benchmark.stack import SERVICE, Stack

_KWARGS = {"user_id": 4217, "template": "reminder", "to": "a@example.org"}
TASK = {"task_type": "noop", "kwargs": _KWARGS}
"""What every side takes."""
BODY = json.dumps(TASK).encode()
CONNECTIONS = 64
_BATCH_CONNECTIONS = 4
_BATCH_TASKS = 500
_SENDER_DATABASE = 1
_WARM_UP_SECONDS = 1.0
_PEERS = ("send_task", "flower", "naive", "procrastinate", "echo")
COMPARED = {**{f"single_vs_{peer}": ("single", peer) for peer in _PEERS}, "batch_vs_send_task": ("batch", "send_task")}
"""Name of a ratio to the figures it divides."""


def run(quick: bool) -> Report:
    """Three rounds of 2 s a side, or five of 8 s."""
    rounds, seconds = (3, 2.0) if quick else (5, 8.0)
    generator = Generator()
    with ExitStack() as exits:
        stack = exits.enter_context(Stack())
        sides = [*ours(stack), *_peers(exits, stack)]
        bench = Intake(stack, generator, seconds)
        for side in sides:
            bench.play(side, _WARM_UP_SECONDS)
        sender = _Sender(stack)
        sender.play(_WARM_UP_SECONDS)
        turns = [lambda: sender.play(seconds), *(lambda side=side: bench.play(side, seconds) for side in sides)]
        found = play(lambda number: in_turn(turns, number), rounds)
    busiest = max(one[name] for one in found for name in one if name.endswith("_generator_cpu"))
    direct = ", ".join(f"{one['single_sent']:.0f}" for one in found)
    return Report(
        name="intake",
        rounds=found,
        shown=["single", "batch", *_PEERS, "single_p50_ms", "single_p99_ms"],
        unit="tasks a second",
        compared=COMPARED,
        at_least={
            "single_vs_send_task": 2.5,
            "single_vs_flower": 7,
            "single_vs_naive": 12,
            "single_vs_procrastinate": 4,
            "single_vs_echo": 0.9,
            "batch_vs_send_task": 13,
        },
        generator={"name": generator.name, "most_cpu_share": busiest},
        notes=[
            f"{CONNECTIONS} connections to every endpoint; batches of {_BATCH_TASKS} over {_BATCH_CONNECTIONS}",
            generator.describe(busiest),
            f"beside send_task the idle service took {_idle(found):.0%} of one core",
            "every task that was accepted was found where its side keeps it; ours, in PostgreSQL",
            f"of the single submissions, sent to the broker by the end of their turn: {direct}; the rest waited",
        ],
    )


@dataclass(frozen=True)
class Side:
    """An endpoint that takes tasks."""

    name: str
    url: str
    body: bytes
    empty: Callable[[], object] = lambda: None
    stored: Callable[[], int] | None = None
    """How many tasks it keeps; None for one that keeps nothing."""
    tasks: int = 1
    """Of a request."""
    connections: int = CONNECTIONS
    is_ours: bool = False


def ours(stack: Stack, task: Mapping[str, object] = TASK) -> list[Side]:
    single, batch = f"{stack.api_url}/v1/tasks", f"{stack.api_url}/v1/tasks/batch"
    many = _body({"tasks": [task] * _BATCH_TASKS})
    return [
        Side("single", single, _body(task), stack.empty, stack.stored, is_ours=True),
        Side("batch", batch, many, stack.empty, stack.stored, _BATCH_TASKS, _BATCH_CONNECTIONS, is_ours=True),
    ]


def _peers(exits: ExitStack, stack: Stack) -> list[Side]:
    flower_url, flower_broker_url = exits.enter_context(running.flower(stack))
    flower_broker = exits.enter_context(Redis.from_url(flower_broker_url))
    naive_url, naive_broker_url, naive_database = exits.enter_context(running.naive_endpoint(stack))
    naive_broker = exits.enter_context(Redis.from_url(naive_broker_url))
    environment, database = exits.enter_context(running.procrastinate_schema(stack))
    deferring_url = exits.enter_context(running.procrastinate_endpoint(stack, environment))
    echo_url = exits.enter_context(running.echo(stack))

    def naive_tasks() -> int:
        stored, sent = naive_database.count(tables.NAIVE), int(naive_broker.llen("celery"))
        return min(stored, sent)

    def empty_naive() -> None:
        naive_database.execute(f"TRUNCATE {tables.NAIVE}")
        naive_broker.delete("celery")

    def empty_procrastinate() -> None:
        database.execute(f"TRUNCATE {tables.PROCRASTINATE} CASCADE")

    return [
        Side(
            "flower",
            flower_url,
            _body({"kwargs": _KWARGS}),
            lambda: flower_broker.delete("celery"),
            lambda: int(flower_broker.llen("celery")),
        ),
        Side("naive", naive_url, BODY, empty_naive, naive_tasks),
        Side(
            "procrastinate",
            deferring_url,
            BODY,
            empty_procrastinate,
            lambda: database.count(tables.PROCRASTINATE),
        ),
        Side("echo", echo_url, BODY),
    ]


class Intake:
    def __init__(self, stack: Stack, generator: Generator, seconds: float) -> None:
        self._stack = stack
        self._generator = generator
        self._seconds = seconds

    def play(self, side: Side, seconds: float, begin: Callable[[], object] = lambda: None) -> Round:
        """Load one side, once ``begin`` has returned. Raises SystemExit when an accepted task is not where the side
        keeps it.
        """
        # Also for others: what waits in our tables costs the idle service time.
        self._stack.empty()
        side.empty()
        begin()
        before = self._stack.cpu_seconds()
        load = self._generator.run(side.url, side.body, side.connections, seconds, self._stack.token)
        if side.stored is not None:
            self._require_stored(side, load)
        tasks = load.accepted * side.tasks
        found = {side.name: tasks / load.seconds} | _details(side.name, load)
        if side.is_ours:
            after = self._stack.cpu_seconds()
            cpu = {part: after[part] - before[part] for part in (*SERVICE, "postgres", "valkey")}
            found |= {f"{side.name}_{part}_cpu_us": round(1e6 * spent / tasks, 1) for part, spent in cpu.items()}
            found[f"{side.name}_sent"] = self._stack.sent()
        return found

    def _require_stored(self, side: Side, load: Load) -> None:
        assert side.stored is not None
        stored = settled(side.stored)
        accepted = load.accepted * side.tasks
        unanswered = side.connections * side.tasks if self._generator.may_leave_unanswered else 0
        if not accepted <= stored <= accepted + unanswered:
            raise SystemExit(f"{side.name}: {accepted} tasks were accepted, {stored} are stored")


class _Sender:
    """``send_task`` in a loop, in this process."""

    def __init__(self, stack: Stack) -> None:
        url = stack.bare_url(_SENDER_DATABASE)
        self._stack = stack
        self._broker = Redis.from_url(url)
        self._app = bare_app(url)

    def play(self, seconds: float) -> Round:
        self._stack.empty()
        self._broker.flushdb()
        before = self._stack.cpu_seconds()
        sent, took = send_for(self._app, seconds, _KWARGS)
        after = self._stack.cpu_seconds()
        if self._broker.llen("celery") != sent:
            raise SystemExit("send_task lost messages")
        idle = sum(after[part] - before[part] for part in SERVICE) / took
        return {"send_task": sent / took, "send_task_service_cpu": round(idle, 3)}


def _idle(found: list[Round]) -> float:
    return statistics.median(one["send_task_service_cpu"] for one in found)


def _body(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode()


def _details(name: str, load: Load) -> Round:
    return {f"{name}_p50_ms": load.p50_ms, f"{name}_p99_ms": load.p99_ms, f"{name}_generator_cpu": load.cpu_share}
