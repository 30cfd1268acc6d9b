"""The API does as its document says: schemathesis sends what it allows and what it forbids, and makes all its checks.

``POINTSMAN_DOCUMENT_SEED`` and ``POINTSMAN_DOCUMENT_EXAMPLES`` ask for another run, and for a longer one;
``POINTSMAN_DOCUMENT_CALLERS`` names those of ``CALLERS`` that ask: each then has a run of its own, which goes on until
``POINTSMAN_DOCUMENT_SECONDS`` are over, through ``POINTSMAN_DOCUMENT_PHASES``.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import PostgresServer
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
SECONDS = os.environ.get("POINTSMAN_DOCUMENT_SECONDS", "60")
PHASES = os.environ.get("POINTSMAN_DOCUMENT_PHASES", "examples,coverage,fuzzing,stateful")
LONG = "POINTSMAN_DOCUMENT_CALLERS" in os.environ
SHORT_RUN = ("--max-examples", "2", "--phases", "fuzzing")
LONG_RUN = ("--max-examples", EXAMPLES, "--max-time", SECONDS, "--phases", PHASES)
CALLERS = ("nobody", "viewer", "operator", "admin")
AS_SAID = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
NAMES = ("echo", "noop", "send_reminder_email")
"""Those that the examples of the document name, and another."""
TYPES = [TaskTypeSpec(name=name, time_limit_seconds=9, extra_positional=True) for name in NAMES]
CHANNEL = {"kind": "webhook", "name": "on-call", "url": "https://127.0.0.1:1/", "body": "slack"}


@pytest.fixture(scope="module")
def database(postgres: PostgresServer, migrated_template: str) -> str:
    """URL of the database of all of these tests."""
    return postgres.start().create_database(template=migrated_template)


@pytest.fixture(scope="module")
async def service(database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A control plane without workers, for its queues are purged and its breakers forced. It knows some task types."""
    store = Store(create_engine(Settings(database_url=SecretStr(database)), "test"))
    async with store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", TYPES)
    await store.close()
    # Nothing runs here that an answer could wait for.
    variables = {"POINTSMAN_ALERT_CHANNELS": json.dumps([CHANNEL]), "POINTSMAN_WAIT_SECONDS": "0"}
    directory = tmp_path_factory.mktemp("document")
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        stack = Stack(database, valkey, directory, variables=variables)
        try:
            stack.service.start()
            await until(stack.answers, "the service to answer")
            yield stack
        finally:
            await stack.__aexit__(None, None, None)


@pytest.fixture(scope="module")
async def there_is(service: Stack, database: str) -> dict[str, list[str]]:
    """What the installation has."""
    return await what_there_is(service, database)


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
        assert (await service.http.post(path, json={"reason": "an alert is wanted", "new": True})).status_code == 200
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


def fuzz(url: str, directory: Path, there_is: dict[str, list[str]], *words: str) -> str:
    """What schemathesis says where it finds nothing. Its seed is in what it says."""
    program = stranger("venv/bin/schemathesis")
    directory.mkdir(exist_ok=True)
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(GIVEN / name, directory)
    (directory / "installation.json").write_text(json.dumps(there_is))
    asked = [
        *(str(program), "--config-file", "schemathesis.toml", "run", f"{url}/openapi.json", *words),
        # A stream has no end, or that of its task.
        *("--exclude-operation-id", "stream_breaker_transitions", "--exclude-operation-id", "stream_log_lines"),
        *("--exclude-operation-id", "stream_tasks", "--exclude-operation-id", "stream_task"),
        *("--seed", SEED, "--request-timeout", "10", "--no-color"),
    ]
    done = subprocess.run(asked, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
    return done.stdout


async def test_nothing_is_refused_that_the_document_allows_nor_accepted_that_it_forbids(
    service: Stack, there_is: dict[str, list[str]], tmp_path: Path
) -> None:
    await asyncio.to_thread(fuzz, service.url, tmp_path, there_is, "--checks", "all", "--max-examples", EXAMPLES)


async def test_every_caller_is_answered_as_the_document_says(
    service: Stack, there_is: dict[str, list[str]], tmp_path: Path
) -> None:
    """As a viewer, an operator, an admin and without a key: no fault of the server, and no status and no body that the
    document does not have. In a short run they take turns.
    """
    made = {
        caller: (await service.http.post("/v1/keys", json={"name": f"fuzz-{caller}", "preset": caller})).json()
        for caller in CALLERS[1:]
    }
    there_is = there_is | {"own_key": [key["id"] for key in made.values()]}
    # What a proxy passes on does not come from this machine, so it takes a key.
    asks = {"nobody": "X-Forwarded-For: 192.0.2.1"} | {
        caller: f"Authorization: Bearer {key['key']}" for caller, key in made.items()
    }
    turns = [[caller] for caller in os.environ["POINTSMAN_DOCUMENT_CALLERS"].split()] if LONG else [CALLERS]
    for callers in turns:
        given = there_is | {"sent": [asks[caller] for caller in callers]}
        words = ("--checks", AS_SAID, *(LONG_RUN if LONG else SHORT_RUN))
        said = await asyncio.to_thread(fuzz, service.url, tmp_path / callers[0], given, *words)
        cases = re.search(r"(\d+) generated", said)
        assert cases is not None, said
        print(f"{' '.join(callers)}: {cases[1]} cases")  # noqa: T201
    for key in made.values():
        answer = await service.http.get("/v1/task-types", headers={"Authorization": f"Bearer {key['key']}"})
        assert answer.status_code == 200, "a key opens no longer what it did"
