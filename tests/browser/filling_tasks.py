"""Tasks in every state, with attempts, lines and an act on many, for whoever looks at them."""

import json
from typing import Any
from uuid import UUID

import uuid_utils

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.workers import catalogue
from tests.browser.site import Site

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 41, in charge
    total = order["price_cents"]
KeyError: 'price_cents'
"""
_PLACES = {"queued": "waiting", "running": "sent", "held": "held", "scheduled": "asleep", "retrying": "asleep"}
_COMMON: dict[str, Any] = {
    "task_type": "shop.charge",
    "queue": "reports",
    "priority": 6,
    "max_attempts": 4,
    "sla_seconds": 60.0,
}
_COMMON |= {"timeout_seconds": 300.0, "caller": "local", "args": "[]", "kwargs": '{"order": 90071992547409931}'}


def new_id() -> UUID:
    """Of a task that is submitted now."""
    return UUID(str(uuid_utils.uuid7()))


async def put(site: Site, state: str, *, ago: float = 60.0, **columns: Any) -> UUID:
    """A task in a state, submitted and due so many seconds ago; its id. ``started`` and ``finished`` are seconds ago,
    too, ``due_in`` to come.
    """
    task_id = new_id()
    given: dict[str, Any] = _COMMON | {"id": task_id, "state": state, "attempt": 0, "tags": {"tenant": "42"}} | columns
    moments = {"submitted_at": -ago, "due_at": given.pop("due_in", -ago)}
    for name in ("started", "finished", "held", "expires"):
        if name in given:
            moments[f"{name}_at"] = -given.pop(name)
    table = "task_live" if state in _PLACES else "task"
    if table == "task_live":
        given.setdefault("place", _PLACES[state])
    else:
        moments.setdefault("finished_at", -ago / 2)
    given["tags"] = json.dumps(given["tags"])
    kinds = {"tags": "jsonb", "dependencies": "text[]"}
    values = [f"CAST(:{name} AS {kinds[name]})" if name in kinds else f":{name}" for name in given]
    values += [f"now() + CAST(:{name} AS float8) * interval '1 second'" for name in moments]
    await site.run(
        f"INSERT INTO {table} ({', '.join([*given, *moments])}) VALUES ({', '.join(values)})", **given, **moments
    )
    return task_id


async def put_attempt(site: Site, task_id: UUID, attempt: int, ago: float, seconds: float, error: str) -> None:
    """An attempt that failed, begun so many seconds ago."""
    kind, _, message = error.partition(": ")
    await site.run(
        "INSERT INTO task_attempt (task_id, attempt, worker, started_at, finished_at, run_seconds, error_type,"
        " error_message, error_traceback) VALUES (:id, :attempt, 'reports@host-1',"
        " now() - CAST(:ago AS float8) * interval '1 second',"
        " now() - CAST(:ago - :seconds AS float8) * interval '1 second', :seconds, :kind, :message, :traceback)",
        id=task_id, attempt=attempt, ago=ago, seconds=seconds, kind=kind, message=message, traceback=TRACEBACK,
    )  # fmt: skip


async def put_failed(site: Site, **columns: Any) -> UUID:
    """A task that failed at the second of its attempts."""
    given: dict[str, Any] = {"error_type": "KeyError", "error_message": "'price_cents'", "error_traceback": TRACEBACK}
    given |= {"attempt": 2, "max_attempts": 2, "worker": "reports@host-1", "run_seconds": 4.0} | columns
    task_id = await put(site, "failed", started=20, finished=16, due_in=-28.0, **given)
    await put_attempt(site, task_id, 1, 50, 12, "KeyError: 'price_cents'")
    await put_attempt(site, task_id, 2, 20, 4, "KeyError: 'price_cents'")
    return task_id


async def put_lines(site: Site, task_id: UUID, attempt: int, lines: list[tuple[str, str]]) -> None:
    """What an attempt wrote: pairs of a level and a text."""
    at = 1_795_940_000.0
    entry = [[at + place, level, "shop.orders", text] for place, (level, text) in enumerate(lines)]
    await site.run(
        "INSERT INTO run_log (task_id, attempt, run, first_line, line_count, is_last, lines)"
        " VALUES (:id, :attempt, 'r', 1, :count, false, :lines)",
        id=task_id, attempt=attempt, count=len(entry), lines=json.dumps(entry),
    )  # fmt: skip


async def fill_tasks(site: Site) -> None:
    """One in each state and more, the newest first in the order of the page."""
    async with site.store.statement() as connection:
        spec = TaskTypeSpec(name="shop.charge", queue="reports", time_limit_seconds=300)
        await catalogue.publish(connection, "reports@host-1#1", [spec])
    succeeded: dict[str, Any] = {
        "result": '{"charged": true}',
        "run_seconds": 0.21,
        "queue_wait_seconds": 0.4,
        "sla_met": True,
    }
    await put(site, "succeeded", attempt=1, started=40, finished=39.8, worker="reports@host-1", **succeeded)
    await put(site, "cancelled", cancel_requested_by="ada")
    await put(site, "expired", task_type="shop.remind", expires=40)
    await put_failed(site)
    await put(site, "scheduled", due_in=7200.0, delay_seconds=7260.0)
    retrying = await put(site, "retrying", attempt=1, started=30, worker="reports@host-1", due_in=25.0)
    await put_attempt(site, retrying, 1, 30, 5, "ConnectTimeout: api.bank.example did not answer in 5 s")
    await put(
        site, "held", held=30, held_reason="breaker:dependency:api.bank.example", dependencies=["api.bank.example"]
    )
    await put(site, "queued")
    progress = json.dumps({"state": "PROGRESS", "current": 40, "total": 100, "note": "page 40", "at": 1_795_940_000})
    running = await put(site, "running", attempt=1, started=30, worker="reports@host-1", progress=progress)
    await put_lines(site, running, 1, [("info", "charging order 7"), ("warning", "the bank is slow"), ("error", "no")])
    cancel = await put(site, "cancelled", task_type="shop.remind")
    act = new_id()
    await site.run(
        "INSERT INTO replay (id, caller, wanted, matched, tasks, kind, stage, reason, submitted_before, looked_at)"
        " VALUES (:id, 'ada', CAST(:wanted AS jsonb), 1, 1, 'cancel', 'done', 'sent by mistake', now(), 12)",
        id=act, wanted=json.dumps({"task_type": "shop.remind", "tags": {"tenant": "42"}}),
    )  # fmt: skip
    await site.run("INSERT INTO cancelled_task (act_id, task_id) VALUES (:act, :task)", act=act, task=cancel)
