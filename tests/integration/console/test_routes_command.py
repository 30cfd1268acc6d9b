"""``python -m pointsman_service routes`` beside a database with a catalogue."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from tests.stand.environment import ROOT


@pytest.fixture
async def routes(settings: Settings, store: Store) -> Any:
    """Runs the command; ``send_greeting`` is published with a queue of its own."""
    async with store.statement() as connection:
        await catalogue.publish(
            connection, "w@h#1", [TaskTypeSpec(name="send_greeting", queue="email", priority=4, time_limit_seconds=1)]
        )

    async def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "POINTSMAN_DATABASE_URL": settings.require_database_url(),
            "POINTSMAN_DATA_DIR": str(settings.data_dir),
            **variables,
        }
        words = (sys.executable, "-m", "pointsman_service", "routes", *words)
        return await asyncio.to_thread(
            subprocess.run, words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


async def test_queue_of_the_task_type_comes_from_the_catalogue(routes: Any) -> None:
    found = json.loads((await routes("send_greeting", "--json")).stdout)
    assert (found["queue"], found["priority"], found["catalogue_asked"]) == ("email", 4, True)
    assert (found["queue_by"], found["priority_by"]) == ("task_type", "task_type")
    text = " ".join((await routes("send_greeting")).stdout.split())
    assert text.startswith("send_greeting -> email, priority 4 queue email: the task type's own queue")
    assert "note" not in text


async def test_route_overrides_the_queue_of_the_catalogue(routes: Any) -> None:
    answer = await routes("send_greeting", "--json", POINTSMAN_TASK_ROUTES='{"send_*": "reports"}')
    found = json.loads(answer.stdout)
    assert (found["queue"], found["priority"], found["route"]) == ("reports", 4, "send_*")


async def test_task_type_nobody_published_is_status_1_with_a_suggestion(routes: Any) -> None:
    answer = await routes("send_greting")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "No worker has published the task type 'send_greting'. Did you mean send_greeting?\n"


async def test_offline_does_not_ask(routes: Any) -> None:
    found = json.loads((await routes("send_greeting", "--offline", "--json")).stdout)
    assert (found["queue"], found["catalogue_asked"]) == ("maintenance", False)
