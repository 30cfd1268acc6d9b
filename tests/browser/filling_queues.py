"""Queues, task types and workers with something to tell: samples of an hour, figures, a live worker, a silent one."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.history import Sampled
from pointsman_service.store.queues import pausing
from pointsman_service.store.workers import catalogue
from tests.browser.filling_tasks import put
from tests.browser.site import Site

SHIPPED = TaskTypeSpec(
    name="shop.ship",
    description="Send a parcel.\n\nTo one address.",
    queue="reports",
    time_limit_seconds=120,
    positional=("order", "to"),
    arguments_schema={
        "type": "object",
        "properties": {
            "order": {"type": "integer", "minimum": 1, "description": "Its number."},
            "to": {"type": "string", "minLength": 2},
            "carrier": {"enum": ["post", "bike"], "default": "post"},
            "insured": {"type": "boolean", "default": False},
            "weight_kg": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None},
            "labels": {"type": "array", "items": {"type": "string"}, "default": []},
        },
        "required": ["order", "to"],
        "additionalProperties": False,
    },
)
"""A task type with a field of each kind."""


async def put_worker(site: Site, name: str, *, silent: float = -3600.0, queues: tuple[str, ...] = ("reports",)) -> str:
    """A node that was seen so many seconds ago, by default in an hour: it lives on. Its owner."""
    owner = f"{name}#1"
    await site.run(
        "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
        " VALUES (:owner, :name, :pool, CAST(:queues AS text[]), 2, 4711, 'host-1', 1, now() - interval '2 h',"
        " now() - CAST(:silent AS float8) * interval '1 second')",
        owner=owner, name=name, pool=name.partition("@")[0], queues=list(queues), silent=silent,
    )  # fmt: skip
    return owner


async def fill_queues(site: Site) -> None:
    """Everything of these pages."""
    await put_worker(site, "reports@host-1")
    await put_worker(site, "email@host-2", silent=900.0, queues=("email",))
    async with site.store.transaction() as connection:
        await catalogue.publish(connection, "reports@host-1#1", [SHIPPED])
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        for place in range(50):
            if place in (20, 21):
                continue
            minute = now - timedelta(minutes=place + 1)
            await history.add(connection, "queue", _samples("reports", minute, _of_queue(place)))
            await history.add(connection, "pool", _samples("reports", minute, {"utilization": (place % 10) / 10}))
    await site.run(
        "INSERT INTO task_metrics (minute, task_type, queue, submitted, executions, succeeded, failed, sla_met,"
        " sla_missed) VALUES (date_trunc('minute', now()) - interval '5 min', 'shop.ship', 'reports', 90, 80, 72, 8,"
        " 85, 5)"
    )
    await put(site, "running", task_type="shop.ship", attempt=1, started=40, worker="reports@host-1#1")
    async with site.store.transaction() as connection:
        await pausing.set_paused(connection, "external_api", paused=True, reason="the bank asked", actor="ada")


async def set_message_aside(site: Site, queue: str, reason: str) -> None:
    """A message that nobody could run."""
    server = site.dashboard._parts.server
    fields = ["queue", queue, "reason", reason, "bytes", "23", "head", '{"body": "<b>no</b>"}']
    await server.command("XADD", keys.SET_ASIDE, "*", *fields)
    for field in (f"total:{queue}", f"open:{queue}"):
        await server.command("HINCRBY", keys.SET_ASIDE_COUNTS, field, 1)


def _of_queue(place: int) -> dict[str, float]:
    names = ("depth", "running", "held", "oldest_wait_seconds", "arrival_rate", "service_rate", "consumers", "window")
    values: tuple[float, ...] = (place % 7, 1, 0, place % 7 * 12.0, place % 5 / 10, 0.2, 2, 40)
    return dict(zip(names, values, strict=True))


def _samples(name: str, minute: datetime, figures: dict[str, float]) -> list[Sampled]:
    made: Any = [
        Sampled(name, figure, minute, 30, value * 30, value, value, value, minute) for figure, value in figures.items()
    ]
    return list(made)
