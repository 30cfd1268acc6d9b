"""What an installation costs that has nothing to do: one of every process, and three."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.embedded.ports import HOST, free_port
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import play
from tests.benchmark.stack import SERVICE, Stack

REPLICAS = 3
_STATEMENT = re.compile(r"^pointsman ([a-z+]+)\|LOG:  (?:statement|execute [^:]*): ")
_SERVERS = ("postgres", "valkey")
_MOST = 1.5
"""So many times the statements of one replica may three cost."""


def run(quick: bool) -> Report:
    """In turn one replica and three, each measured for 20 seconds twice (5 when quick): alone, and with PostgreSQL
    writing down every statement.
    """
    seconds = 5.0 if quick else 20.0
    with Stack() as stack, _nodes(stack, 1):
        rounds = play(lambda _: _round(stack, seconds), 1 if quick else 3)
    figures = ("statements", "redis_commands", "cpu_service", "cpu_postgres", "cpu_valkey", "cpu_workers")
    return Report(
        name="idle",
        rounds=rounds,
        shown=[f"{replicas}_{figure}" for figure in figures for replicas in ("one", "three")],
        unit="a second; CPU in % of a core",
        compared={"statements_one_vs_three": ("one_statements", "three_statements")},
        at_least={"statements_one_vs_three": round(1 / _MOST, 4)},
        notes=[
            *(f"statements with {name}: {_by_process(rounds[-1], name)}" for name in ("one", "three")),
            "workers: a node for each pool of the default topology, and three",
        ],
    )


def _round(stack: Stack, seconds: float) -> Round:
    one = _measured(stack, seconds, "one")
    with _more(stack):
        return one | _measured(stack, seconds, "three")


def _measured(stack: Stack, seconds: float, name: str) -> Round:
    # Longer than a new judge watches before it says of a worker that it is dead.
    time.sleep(12.0)
    cpu, commands = stack.cpu_seconds(), stack.redis_commands()
    time.sleep(seconds)
    spent = {process: after - cpu[process] for process, after in stack.cpu_seconds().items()}
    found = {"redis_commands": (stack.redis_commands() - commands) / seconds}
    for group, used in _grouped(spent).items():
        found[f"cpu_{group}"] = 100 * used / seconds
    with stack.statements_logged() as log:
        time.sleep(seconds)
        statements = statements_by_process(log())
    found["statements"] = sum(statements.values()) / seconds
    for process in SERVICE:
        found[f"statements_{process}"] = statements[process] / seconds
    return {f"{name}_{figure}": value for figure, value in found.items()}


def statements_by_process(lines: Iterable[str]) -> Counter[str]:
    """Statements in a log of PostgreSQL, BEGIN and COMMIT too, by the role of the process. Its lines begin with the
    name of the application and ``|``.
    """
    found = (_STATEMENT.match(line) for line in lines)
    return Counter(match[1] for match in found if match is not None)


def _grouped(spent: Mapping[str, float]) -> dict[str, float]:
    groups = dict.fromkeys(("service", "workers", *_SERVERS), 0.0)
    for process, seconds in spent.items():
        role = process.partition("-")[0]
        groups[role if role in _SERVERS else "service" if role in SERVICE else "workers"] += seconds
    return groups


def _by_process(last: Round, name: str) -> str:
    return ", ".join(f"{process} {last[f'{name}_statements_{process}']:.1f}" for process in SERVICE)


@contextmanager
def _more(stack: Stack) -> Iterator[None]:
    """Two more of every process."""
    with ExitStack() as exits:
        for number in range(2, REPLICAS + 1):
            for role in SERVICE:
                words = ("--host", HOST, "--port", str(free_port())) if role == "api" else ()
                exits.enter_context(stack.running(f"{role}-{number}", "pointsman_service", role, *words))
            exits.enter_context(_nodes(stack, number))
        yield


@contextmanager
def _nodes(stack: Stack, number: int) -> Iterator[None]:
    with ExitStack() as exits:
        for pool in DEFAULT_TOPOLOGY.pools:
            exits.enter_context(stack.started(f"worker_{pool.name}-{number}", worker_words(pool, number)))
        stack.wait(lambda: len(stack.living_nodes()) >= number * len(DEFAULT_TOPOLOGY.pools), "the nodes")
        yield
