"""The control plane from its wheel and a worker from its own, each in an environment that does not know the other."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman_contract.states import TERMINAL
from pointsman_service.embedded.children import ChildSpec, kill_group, spawn
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.integration.wheels.environment import Environment
from tests.stand.waiting import until

pytestmark = pytest.mark.timeout(300)
GREET, ASK = "workers.letters.greet", "workers.letters.ask"


@dataclass
class Running:
    """An installation from wheels."""

    http: httpx.AsyncClient
    worker: Environment
    worker_log: Path
    variables: dict[str, str]

    async def outcome_of(self, task_type: str, *args: Any) -> dict[str, Any]:
        """Of a task that is submitted now and has ended."""
        answer = await self.http.post("/v1/tasks", json={"task_type": task_type, "args": args})
        assert answer.status_code == 202, answer.text

        async def ended() -> dict[str, Any] | None:
            task: dict[str, Any] = (await self.http.get(f"/v1/tasks/{answer.json()['id']}")).json()
            return task if task["state"] in TERMINAL else None

        return await until(ended, f"{task_type} to end")


@pytest.fixture(scope="module")
async def running(
    only: Callable[[str], Environment],
    postgres: PostgresServer,
    valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    service, worker = only("pointsman-service"), only("pointsman")
    directory = tmp_path_factory.mktemp("from-wheels")
    port = free_port()
    broker = {"POINTSMAN_REDIS_URL": valkey.start().url, "POINTSMAN_DATA_DIR": str(directory)}
    database = {"POINTSMAN_DATABASE_URL": postgres.start().create_database()}
    service.run("python", "-m", "pointsman_service", "migrate", **broker, **database)
    specs = [
        ChildSpec(
            "service",
            (service.program("python"), "-m", "pointsman_service", "all", "--port", str(port)),
            service.variables(broker | database),
            service.project,
        ),
        ChildSpec(
            "worker",
            (worker.program("celery"), "-A", "pointsman", "-q", "worker", "-c", "1", "-P", "prefork"),
            worker.variables(broker | {"POINTSMAN_TASK_MODULES": "workers.letters"}),
            worker.project,
        ),
    ]
    logs = {spec.name: directory / f"{spec.name}.log" for spec in specs}
    children = []
    try:
        for spec in specs:
            with logs[spec.name].open("wb") as log:
                children.append(spawn(spec, log))
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as http:

            async def ready() -> bool:
                assert all(child.poll() is None for child in children), "\n".join(
                    log.read_text()[-2000:] for log in logs.values()
                )
                try:
                    parts = (await http.get("/readyz?verbose")).json()["parts"]
                except httpx.TransportError:
                    return False
                return all(part["ok"] for part in parts.values())

            await until(ready, "the installation to be ready")
            yield Running(http, worker, logs["worker"], broker)
    finally:
        for child in children:
            await asyncio.to_thread(kill_group, child)
            child.wait()


async def test_a_task_of_a_project_with_our_former_names_succeeds(running: Running) -> None:
    task = await running.outcome_of(GREET, "Ada")
    assert (task["state"], task["result"]) == ("succeeded", ["Dear", "Ada", ",", "!"])


async def test_what_needs_an_absent_extra_is_not_offered_and_the_worker_says_so(running: Running) -> None:
    offered = {found["name"] for found in (await running.http.get("/v1/task-types")).json()["items"]}
    assert {GREET, "noop", "send_reminder_email"} <= offered
    assert not offered & {"http_request", "process_mqtt_message", "create_scheduled_reports"}
    assert "pip install 'pointsman[api,http,mqtt,reports]' brings them" in running.worker_log.read_text()


async def test_a_call_over_http_without_its_extra_says_what_to_install(running: Running) -> None:
    task = await running.outcome_of(ASK)
    assert task["state"] == "failed"
    assert task["error"]["message"] == "self.http needs what is not installed here: pip install 'pointsman[http]'"


async def test_celerys_own_commands_reach_the_worker(running: Running) -> None:
    words = ("celery", "-A", "pointsman", "inspect", "ping")
    said = await asyncio.to_thread(running.worker.run, *words, **running.variables)
    assert "pong" in said


async def test_the_dashboard_comes_along_with_all_it_needs(running: Running) -> None:
    page = "/admin/tasks/dashboard/"
    for path in ("", "alerts", "help"):
        answer = await running.http.get(page + path)
        assert answer.status_code == 200, answer.text
        named = re.findall(r'(?:src|href)="\./(static/[^"]+)"', answer.text)
        assert len(named) >= 4
        for static in named:
            assert (await running.http.get(page + static)).status_code == 200
