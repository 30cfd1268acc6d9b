"""Flower and celery-exporter, as their authors wrote them, on the broker of a real installation: they see what runs
there, act on it, and disturb nothing.

Neither is a part of ours. They live in an environment of their own (``scripts/strangers``).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from pointsman_service.embedded.children import ChildSpec, kill_group, spawn
from pointsman_service.embedded.ports import HOST, free_port
from tests.needs import stranger
from tests.stand.environment import ROOT, inherited
from tests.stand.stack import GONE, QUEUES, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
EXPORTER = "from src.cli import cli; cli(auto_envvar_prefix='CE')"
"""Its image runs these lines; its package brings no command."""
STEPS = "priority_steps=[0,1,2,3,4,5,6,7,8,9]"


@dataclass
class Monitors:
    """Both, started."""

    flower: httpx.AsyncClient
    exporter: httpx.AsyncClient

    async def workers(self) -> dict[str, Any]:
        """As Flower asks them."""
        found: dict[str, Any] = (await self.flower.get("/api/workers?refresh=1")).json()
        return found

    async def tasks(self) -> dict[str, Any]:
        """Those whose events Flower has seen."""
        found: dict[str, Any] = (await self.flower.get("/api/tasks")).json()
        return found

    async def figures(self) -> str:
        """What celery-exporter says. It asks the nodes each time, which takes two seconds."""
        return (await self.exporter.get("/metrics")).raise_for_status().text


def figure(figures: str, called: str, **labels: str) -> float | None:
    """One of them; None when there is none."""
    for found in re.finditer(rf"^{called}{{(?P<labels>.*)}} (?P<value>\S+)$", figures, re.MULTILINE):
        if all(f'{label}="{value}"' in found["labels"] for label, value in labels.items()):
            return float(found["value"])
    return None


@contextmanager
def events_of(stack: Stack) -> Iterator[None]:
    """As long as it is so, its workers send Celery's events, as with ``-E``."""
    with Celery(broker=stack.redis_url) as app:
        app.control.enable_events(reply=True, timeout=5, limit=1)
        try:
            yield
        finally:
            app.control.disable_events(reply=True, timeout=5, limit=1)


@pytest.fixture
async def monitors(stack: Stack, tmp_path: Path) -> AsyncIterator[Monitors]:
    """Started as docs/deploy.md says, from another directory and without any package of ours."""
    python = str(stranger("venv/bin/python"))
    ports = {"flower": free_port(), "exporter": free_port()}
    ours = {
        "PYTHONPATH": str(ROOT / "docs" / "deploy"), "CELERY_CONFIG_MODULE": "celeryconfig",
        "POINTSMAN_REDIS_URL": stack.redis_url, "FLOWER_UNAUTHENTICATED_API": "true",
    }  # fmt: skip
    flower = (python, "-m", "celery", "flower", f"--address={HOST}", f"--port={ports['flower']}")
    exporter = (
        python, "-c", EXPORTER, "--broker-url", stack.redis_url, "--host", HOST, "--port", str(ports["exporter"]),
        "--broker-transport-option", STEPS,
    )  # fmt: skip
    specs = [
        ChildSpec("flower", flower, inherited() | ours, tmp_path),
        ChildSpec("exporter", exporter, inherited(), tmp_path),
    ]
    children = []
    try:
        for spec in specs:
            with (tmp_path / f"{spec.name}.log").open("wb") as log:
                children.append(spawn(spec, log))
        clients = [
            httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=30) for port in ports.values()
        ]
        async with clients[0], clients[1]:

            async def up() -> bool:
                for child, spec in zip(children, specs, strict=True):
                    assert child.poll() is None, (tmp_path / f"{spec.name}.log").read_text()[-3000:]
                try:
                    answers = [await clients[0].get("/healthcheck"), await clients[1].get("/health")]
                except GONE:
                    return False
                return all(answer.status_code == 200 for answer in answers)

            await until(up, "Flower and celery-exporter to answer")
            with events_of(stack):
                yield Monitors(*clients)
    finally:
        for child in children:
            await asyncio.to_thread(kill_group, child)
            child.wait()


async def test_flower_and_celery_exporter_go_on_working_on_the_same_broker(stack: Stack, monitors: Monitors) -> None:
    async def sees_the_node() -> dict[str, Any] | None:
        return next((found for found in (await monitors.workers()).values() if "active_queues" in found), None)

    node = await until(sees_the_node, "Flower to see the node")
    assert {queue["name"] for queue in node["active_queues"]} == set(QUEUES)
    lengths = (await monitors.flower.get("/api/queues/length")).raise_for_status().json()
    assert {queue["name"] for queue in lengths["active_queues"]} == set(QUEUES)

    submitted = [await stack.submit("ledger.write", queue="email") for _ in range(3)]
    failed = await stack.submit("ledger.flaky", args=[9], max_attempts=1, queue="email")
    for task in (*submitted, failed):
        await stack.finished(task)

    async def flower_knows() -> bool:
        known = await monitors.tasks()
        return set(submitted) <= {task for task, found in known.items() if found["state"] == "SUCCESS"} and (
            failed in known and known[failed]["state"] == "FAILURE"
        )

    async def exporter_counts() -> str | None:
        figures = await monitors.figures()
        succeeded = figure(figures, "celery_task_succeeded_total", name="ledger.write")
        failures = figure(figures, "celery_task_failed_total", name="ledger.flaky", exception="ConnectionError")
        return figures if succeeded == len(submitted) and failures == 1 else None

    await until(flower_knows, "Flower to have seen the tasks end")
    figures = await until(exporter_counts, "celery-exporter to have counted them")
    assert figure(figures, "celery_worker_up") == 1
    for queue in QUEUES:
        assert figure(figures, "celery_active_process_count", queue_name=queue) == stack.processes
        assert figure(figures, "celery_queue_length", queue_name=queue) is not None

    # What they do reaches tasks that wait in PostgreSQL, which they never see.
    later = await stack.submit("ledger.write", delay_seconds=3600, queue="email")
    revoked = await monitors.flower.post(f"/api/task/revoke/{later}")
    assert revoked.status_code == 200, revoked.text
    cancelled = await stack.finished(later)
    assert cancelled["state"] == "cancelled"
    assert cancelled["cancel_requested_by"].startswith("celery control revoke on acceptance@")

    # And nothing ran twice, or was lost, because they listened.
    effects = stack.ledger.effects()
    assert all(effects[task] == 1 for task in submitted)
