"""``python -m pointsman_service explain`` says what the API says, with a database and a Redis and nothing else."""

import asyncio
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from pointsman_service.api.explain import ExplanationView, QueueExplanationView, explanation_view
from pointsman_service.console.explain import explain_queue, explain_task, show_queue, show_task
from pointsman_service.errors import UnknownQueueName, UnknownTask
from pointsman_service.settings import Settings
from pointsman_service.store.queues import pausing
from tests.integration.spine import Spine, new_task
from tests.stand.environment import ROOT


@pytest.fixture
async def waits(spine: Spine) -> str:
    """A task of a queue that somebody has paused."""
    task = new_task()
    async with spine.store.statement() as connection:
        await pausing.set_paused(connection, "maintenance", paused=True, reason="provider moves", actor="ops")
    await spine.commits.write_batch([task])
    await spine.run(
        "UPDATE task_live SET place = 'waiting', dispatch = 0, sent_epoch = NULL,"
        " due_at = now() - interval '90 seconds'"
    )
    await spine.run(
        "INSERT INTO leader (name, holder, expires_at) SELECT name, 'x', now() + interval '1 hour'"
        " FROM unnest(ARRAY['dispatcher', 'recorder', 'epoch']) AS leads (name)"
    )
    return task.id


async def test_a_task_and_its_queue_are_explained_to_people(
    waits: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    show_task(waits, await explain_task(settings, waits), as_json=False)
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0].startswith("The queue maintenance was paused by ops at ")
    assert max(map(len, lines)) <= 110
    words = " ".join(told.split())
    assert "cause queue_paused, since " in words
    assert "that does not end by itself" in words
    assert "what to do Resume the queue when the reason is over: POST /v1/queues/maintenance/resume." in words
    assert "see docs/operating.md#pause-resume-purge about /v1/queues/maintenance" in words

    show_queue("maintenance", await explain_queue(settings, "maintenance"), as_json=False)
    assert capsys.readouterr().out.startswith(f"Next on maintenance: task {waits}\nThe queue maintenance was paused")
    show_queue("email", await explain_queue(settings, "email"), as_json=False)
    assert capsys.readouterr().out.startswith("No task of email is due and waits.")


async def test_what_does_not_exist_is_not_explained(waits: str, settings: Settings) -> None:
    for task_id in (str(uuid4()), "nope"):
        with pytest.raises(UnknownTask):
            await explain_task(settings, task_id)
    with pytest.raises(UnknownQueueName):
        await explain_queue(settings, "nowhere")


async def test_command_prints_the_document_of_the_api_and_exits_1_for_a_task_that_is_not(
    waits: str, settings: Settings, redis_url: str
) -> None:
    async def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "POINTSMAN_DATABASE_URL": settings.require_database_url(), "POINTSMAN_REDIS_URL": redis_url,
        }  # fmt: skip
        command = (sys.executable, "-m", "pointsman_service", "explain", *words)
        return await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    task, queue, unknown, neither = await asyncio.gather(
        run(waits, "--json"), run("--queue", "maintenance", "--json"), run(str(uuid4())), run()
    )
    assert (task.returncode, queue.returncode, unknown.returncode, neither.returncode) == (0, 0, 1, 2), task.stderr
    assert unknown.stderr.splitlines()[-1] == "There is no task with this id."
    wanted = ExplanationView.model_validate(explanation_view(waits, await explain_task(settings, waits)))
    shown = ExplanationView.model_validate_json(task.stdout), QueueExplanationView.model_validate_json(queue.stdout)
    assert (shown[0].task_id, shown[0].cause, shown[0].facts) == (waits, wanted.cause, wanted.facts)
    assert shown[1].next_task is not None
    assert (shown[1].next_task.task_id, shown[1].next_task.cause) == (waits, wanted.cause)
