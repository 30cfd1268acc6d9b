"""The triggers see what must not be."""

import pytest

from tests.integration.spine import Spine, new_task
from tests.torture import audit


async def watched(spine: Spine) -> str:
    """A task in a database that is watched."""
    async with spine.store.transaction() as connection:
        await audit.install(connection)
    task = new_task()
    await spine.commits.join(task)
    await spine.commits.drain()
    return task.id


async def seen(spine: Spine) -> list[str]:
    async with spine.store.statement() as connection:
        return [what.partition(": ")[2] for what in await audit.violations(connection)]


async def test_the_ordinary_life_of_a_task_is_legal(spine: Spine) -> None:
    await watched(spine)
    message = await spine.message("maintenance\x06\x167")
    assert message is not None
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]
    assert await seen(spine) == []


@pytest.mark.parametrize(
    ("moves", "what"),
    [
        (["UPDATE task_live SET attempt = 2", "UPDATE task_live SET attempt = 1"], "attempt 2 became 1"),
        (["UPDATE task_live SET dispatch = 9", "UPDATE task_live SET dispatch = 1"], "dispatch 9 became 1"),
        (
            [
                "UPDATE task_live SET state = 'running', place = 'sent'",
                "UPDATE task_live SET state = 'scheduled', place = 'asleep'",
            ],
            "running became scheduled",
        ),
    ],
)
async def test_an_illegal_move_is_seen(spine: Spine, moves: list[str], what: str) -> None:
    await watched(spine)
    for move in moves:
        await spine.run(move)
    assert await seen(spine) == [what]


async def test_a_finished_task_that_changes_or_comes_back_is_seen(spine: Spine) -> None:
    await watched(spine)
    message = await spine.message("maintenance\x06\x167")
    assert message is not None
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    await spine.run("UPDATE task SET state = 'failed'")
    await spine.run("DELETE FROM task")
    assert await seen(spine) == ["a finished task met UPDATE", "a finished task met DELETE"]
