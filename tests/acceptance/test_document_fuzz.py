"""The API does as its document says: schemathesis sends what it allows and what it forbids, and makes all its checks.

``POINTSMAN_DOCUMENT_SEED`` and ``POINTSMAN_DOCUMENT_EXAMPLES`` ask for another run, and for a longer one.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.database import create_engine
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.settings import Settings
from pointsman_service.store.errors import folding
from pointsman_service.store.errors.noting import note
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.reported import End, Moved
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from tests.needs import stranger
from tests.stand.environment import ROOT
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]

GIVEN = ROOT / "tests" / "strangers"
SEED = os.environ.get("POINTSMAN_DOCUMENT_SEED", "1")
EXAMPLES = os.environ.get("POINTSMAN_DOCUMENT_EXAMPLES", "3")
NAMES = ("echo", "noop", "send_reminder_email")
"""Those that the examples of the document name, and another."""
TYPES = [TaskTypeSpec(name=name, time_limit_seconds=9, extra_positional=True) for name in NAMES]
CHANNEL = {"kind": "webhook", "name": "on-call", "url": "https://127.0.0.1:1/", "body": "slack"}


@pytest.fixture
async def service(database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stack]:
    """A control plane without workers, for its queues are purged and its breakers forced. It knows some task types."""
    store = Store(create_engine(Settings(database_url=SecretStr(database_url)), "test"))
    async with store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", TYPES)
    await store.close()
    # Nothing runs here that an answer could wait for.
    variables = {"POINTSMAN_ALERT_CHANNELS": json.dumps([CHANNEL]), "POINTSMAN_WAIT_SECONDS": "0"}
    stack = Stack(database_url, own_valkey, tmp_path, variables=variables)

    try:
        stack.service.start()
        await until(stack.answers, "the service to answer")
        yield stack
    finally:
        await stack.__aexit__(None, None, None)


async def error_group(database_url: str, task_id: str) -> str:
    """Write down that a task failed; the id of its error group."""
    group, at = group_of("echo", "OSError", "no", ""), datetime.now(UTC)
    moved = Moved(task_id, "echo", "email", False, 1, None, None, "failed")
    end = End(task_id, 1, "failed", at, at, "w", 0.1, None, "OSError", "no", "", error_group=group)
    store = Store(create_engine(Settings(database_url=SecretStr(database_url)), "test"))
    async with store.transaction() as connection:
        await note(connection, Ends([Ended(moved, end)]))
        await folding.fold(connection, 1)
    await store.close()
    return group


async def what_there_is(service: Stack, database_url: str) -> dict[str, list[str]]:
    """Names and ids to ask for, by parameter. Some are made first."""
    queues = (await service.http.get("/v1/queues")).json()["items"]
    task_id = await service.submit("echo")
    act = await service.http.post("/v1/tasks/retry", json={"task_type": "echo"})
    replay = await service.http.post("/v1/dead-letters/replay", json={"task_type": "echo"})
    key = await service.http.post("/v1/keys", json={"name": "reports", "preset": "viewer"})
    for name in ("one.example.org", "two.example.org"):
        path = f"/v1/breakers/dependency/{name}/force-open"
        assert (await service.http.post(path, json={"reason": "an alert is wanted"})).status_code == 200
    pools = (await service.http.get("/v1/metrics/workers")).json()["items"]
    breakers = (await service.http.get("/v1/breakers", params={"limit": 1})).json()

    async def alert() -> str | None:
        items = (await service.http.get("/v1/alerts")).json()["items"]
        return items[0]["id"] if items else None

    return {
        "queue": [queue["name"] for queue in queues],
        "pool": [pool["pool"] for pool in pools],
        "task_type": [spec.name for spec in TYPES],
        "channel": [str(CHANNEL["name"])],
        "task_id": [task_id],
        "act_id": [act.json()["id"]],
        "replay_id": [replay.json()["replay_id"]],
        "key_id": [key.json()["id"]],
        "error_id": [await error_group(database_url, task_id)],
        "alert_id": [await until(alert, "an alert about a breaker that is forced open")],
        "cursor of /v1/breakers": [breakers["next_cursor"]],
    }


def fuzz(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """What schemathesis finds; its seed is in what it says."""
    program = stranger("venv/bin/schemathesis")
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(GIVEN / name, directory)
    words = [
        *(str(program), "--config-file", "schemathesis.toml", "run", f"{url}/openapi.json"),
        # A stream has no end, or that of its task.
        *("--checks", "all", "--exclude-operation-id", "stream_breaker_transitions"),
        *("--exclude-operation-id", "stream_log_lines"),
        *("--exclude-operation-id", "stream_tasks", "--exclude-operation-id", "stream_task"),
        *("--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "10", "--no-color"),
    ]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)


async def test_nothing_is_refused_that_the_document_allows_nor_accepted_that_it_forbids(
    service: Stack, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "installation.json").write_text(json.dumps(await what_there_is(service, database_url)))
    done = await asyncio.to_thread(fuzz, service.url, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
