"""``python -m pointsman_service routes``: which queue and priority a submission would get, and why."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import typer

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import MAX_PRIORITY, QueueSpec, Topology
from pointsman_contract.run_file import RunFile
from pointsman_service.admit.routing import Decision
from pointsman_service.console.reasons import by_urgency, why_priority, why_queue
from pointsman_service.errors import DatabaseAway, ServiceError
from pointsman_service.settings import Settings

_WIDTH = 110


class NotPublished(ServiceError):
    """No worker has published this task type."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A task type, and how much is known of it."""

    spec: TaskTypeSpec
    caveat: str | None
    """Why its own queue and priority could not be looked up."""


def unasked(task_type: str, why: str) -> Asked:
    """A task type of which only the name is known."""
    return Asked(TaskTypeSpec(name=task_type, time_limit_seconds=1), why)


async def ask_catalogue(settings: Settings, task_type: str) -> Asked:
    """The task type as the database has it. Raises ``NotPublished``.

    When the database cannot be asked the answer says so, and only the name of the task type is known.
    """
    if settings.database_url is None and RunFile.read(settings.data_dir) is None:
        return unasked(task_type, "no database is named and no ./scripts/up runs")
    # Here: most answers need no database, and its driver is most of the time of a start.
    from pointsman_service.database import create_engine
    from pointsman_service.errors import ExpectedFault
    from pointsman_service.store.store import RowRefused, StatementRefused, Store
    from pointsman_service.store.workers import catalogue
    from pointsman_service.telemetry import configure_logging

    # To standard error, where it spoils no answer.
    configure_logging(settings)
    store = Store(create_engine(settings, "pointsman routes"))
    try:
        async with store.statement() as connection:
            known = {spec.name: spec for spec, _ in await catalogue.newest(connection)}
    except (DatabaseAway, ExpectedFault, RowRefused, StatementRefused) as error:
        said = error.said if isinstance(error, DatabaseAway) and error.said else type(error).__name__
        return unasked(task_type, f"the database could not be asked ({said})")
    finally:
        await store.close()
    if task_type in known:
        return Asked(known[task_type], None)
    close = get_close_matches(task_type, known, n=3)
    hint = f"Did you mean {', '.join(close)}?" if close else f"{len(known)} task types are known."
    raise NotPublished(f"No worker has published the task type {task_type!r}. {hint}")


def show_decision(settings: Settings, asked: Asked, decision: Decision, *, as_json: bool) -> None:
    """Print where a submission goes, and why."""
    topology, queue = settings.topology, decision.queue
    pools = [pool for pool in topology.pools if queue.name in pool.queues]
    reasons = why_queue(topology, asked.spec, decision), why_priority(decision)
    if as_json:
        document = {
            "task_type": asked.spec.name,
            "queue": queue.name,
            "queue_by": str(decision.queue_by),
            "queue_reason": reasons[0],
            "priority": decision.priority,
            "priority_by": str(decision.priority_by),
            "priority_reason": reasons[1],
            "route": decision.route,
            "sla_seconds": queue.sla_seconds,
            "pools": [{"name": pool.name, "processes": pool.processes} for pool in pools],
            "catalogue_asked": asked.caveat is None,
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    served = ", ".join(f"{pool.name} ({_processes(pool.processes)})" for pool in pools)
    typer.echo(typer.style(f"{asked.spec.name} -> {queue.name}, priority {decision.priority}", bold=True))
    _say("queue", reasons[0])
    _say("priority", reasons[1])
    _say("SLA", f"to be started within {queue.sla_seconds:g} s of being due")
    _say("pools", served or "none consumes this queue: nothing would run")
    if asked.caveat is not None:
        _say("note", f"{asked.caveat}: a queue or priority of the task type's own was not looked for")


def _say(label: str, text: str) -> None:
    typer.echo(textwrap.fill(text, _WIDTH, initial_indent=f"  {label:<10}", subsequent_indent=" " * 12))


def show_table(settings: Settings, *, as_json: bool) -> None:
    """Print the queues with the priorities that lead to each, and the routes."""
    topology, routes = settings.topology, settings.task_routes.for_celery()
    if as_json:
        queues = [
            queue.model_dump() | {"priorities": _band(topology, queue), "pools": _pools(topology, queue)}
            for queue in by_urgency(topology)
        ]
        document = {"queues": queues, "fallback": topology.fallback, "routes": routes}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    listed = [
        (queue.name, str(queue.priority), f"{queue.sla_seconds:g} s", _span(topology, queue), _pools(topology, queue))
        for queue in by_urgency(topology)
    ]
    table = [(*cells, ", ".join(pools) or "none") for *cells, pools in listed]
    _print(("queue", "priority", "SLA", "reached by priority", "pools"), table)
    typer.echo(f"\nWithout a queue, a route and a priority a task goes to {topology.fallback}.")
    if not routes:
        typer.echo("No routes are configured (task_routes).")
        return
    typer.echo("")
    rows = [(name, route["queue"], str(route.get("priority", "-"))) for name, route in routes.items()]
    _print(("route", "queue", "priority"), rows)


def _span(topology: Topology, queue: QueueSpec) -> str:
    band = _band(topology, queue)
    if not band:
        return "no: by name or route only"
    return f"{band[0]}..{band[-1]}" if len(band) > 1 else str(band[0])


def _band(topology: Topology, queue: QueueSpec) -> list[int]:
    """The priorities that alone lead to a queue."""
    return [number for number in range(MAX_PRIORITY + 1) if topology.by_priority(number).name == queue.name]


def _pools(topology: Topology, queue: QueueSpec) -> list[str]:
    return [pool.name for pool in topology.pools if queue.name in pool.queues]


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _print(head: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    for index, line in enumerate(_aligned([head, *table])):
        typer.echo(typer.style(line, bold=True) if index == 0 else line)


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
