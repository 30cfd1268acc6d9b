"""A real Prometheus scrapes a real installation; the dashboard and the rules ask it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman_service.embedded.ports import free_port
from tests.needs import program
from tests.stand.environment import ROOT
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = pytest.mark.acceptance

HOME = ROOT / "docs" / "deploy" / "observability"


class Prometheus:
    """A server of its own data, and what it answers."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def query(self, expression: str) -> list[Any]:
        """The samples of now."""
        answer = await self.http.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[Any] = answer.json()["data"]["result"]
        return found

    async def value(self, expression: str) -> float:
        """The one sample of now."""
        (found,) = await self.query(expression)
        return float(found["value"][1])


@pytest.fixture
async def prometheus(stack: Stack, tmp_path: Path) -> AsyncIterator[Prometheus]:
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(HOME / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": "pointsman",
                "static_configs": [{"targets": [stack.url.removeprefix("http://")]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    words = [
        str(program("prometheus")), f"--config.file={tmp_path / 'prometheus.yml'}", "--log.level=error",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*words)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            server = Prometheus(http)

            async def answers() -> bool:
                try:
                    return (await http.get("/-/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, "Prometheus to be ready")
            yield server
    finally:
        process.kill()
        await process.wait()


def queries() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard, with what Grafana puts in."""
    dashboard = json.loads((HOME / "dashboard.json").read_text(encoding="utf-8"))
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m")
            found.append((panel["title"], expression.replace("$queue", ".*").replace("$task_type", ".*")))
    return found


async def test_every_query_of_the_dashboard_and_every_rule_finds_what_ran(stack: Stack, prometheus: Prometheus) -> None:
    counted = 'sum(pointsman_attempts_ended_total{task_type="noop"})'
    first = "sum(pointsman_sla_met_total) + sum(pointsman_sla_missed_total)"

    async def scraped() -> bool:
        return bool(await prometheus.query(counted)) and bool(await prometheus.query("pointsman_broker_up == 1"))

    await until(scraped, "a first scrape")
    before, started = await prometheus.value(counted), await prometheus.value(first)
    for task in [await stack.submit("noop") for _ in range(3)]:
        await stack.finished(task)

    async def counts() -> bool:
        return await prometheus.value(counted) == before + 3 and await prometheus.value(first) >= started + 3

    await until(counts, "the tasks to be counted")

    async def recorded() -> bool:
        return bool(await prometheus.query("queue:pointsman_sla_missed:ratio_rate5m"))

    await until(recorded, "the rules to see them")
    empty = queries()

    async def all_answered() -> bool:
        # What is not known at one moment is absent then: on a busy machine a look at Redis may take too long.
        nonlocal empty
        empty = [(title, expression) for title, expression in empty if not await prometheus.query(expression)]
        assert empty == []
        return True

    await until(all_answered, "every query of the dashboard to find something")
    (group,) = [
        group
        for group in (await prometheus.http.get("/api/v1/rules")).json()["data"]["groups"]
        if group["name"] == "pointsman-control-plane"
    ]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert {rule["state"] for rule in group["rules"] if rule["name"] != "BreakersOpen"} == {"inactive"}
