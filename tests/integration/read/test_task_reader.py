"""One task with its attempts, its ties to other tasks, and what it wrote."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
import uuid_utils

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.observe.tasks.reader import MOST_ATTEMPTS, TaskReader, named_at
from pointsman_service.store.upkeep.partitions import lowest_id
from pointsman_service.store.workers import catalogue
from tests.integration.operate.ended import ended
from tests.integration.read.test_run_logs import Writer
from tests.integration.spine import Spine


@pytest.fixture
def reader(spine: Spine) -> TaskReader:
    return TaskReader(spine.store)


async def test_a_task_that_ran_again_names_the_act_that_both_belong_to(
    api: httpx.AsyncClient, spine: Spine, reader: TaskReader
) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=30)])
    alone, together = await ended(spine), await ended(spine, queue="email")
    by_hand = UUID((await api.post(f"/v1/tasks/{alone}/retry")).json()["id"])
    act = (await api.post("/v1/tasks/retry", json={"queue": "email"})).json()["id"]

    old = await reader.find(UUID(together))
    assert old is not None
    assert old.became is not None
    assert (str(old.became.replay_id), old.became.undone) == (act, False)
    new = await reader.find(old.became.replayed_as)
    assert new is not None
    assert new.made_from == old.became
    retried = await reader.find(by_hand)
    assert retried is not None
    assert retried.made_from is not None
    assert (str(retried.made_from.task_id), retried.made_from.replay_id) == (alone, None)


async def test_of_many_attempts_the_newest_are_read(spine: Spine, reader: TaskReader) -> None:
    task_id = UUID(await ended(spine))
    newest = MOST_ATTEMPTS + 7
    await spine.run("UPDATE task SET attempt = :newest WHERE id = :id", id=task_id, newest=newest)
    await spine.run(
        "INSERT INTO task_attempt (task_id, attempt, worker, started_at, finished_at, run_seconds, error_type,"
        " error_message, error_traceback) SELECT :id, n, 'w', now(), now(), 1, 'E', '', ''"
        " FROM generate_series(1, CAST(:newest AS int)) AS n",
        id=task_id, newest=newest,
    )  # fmt: skip
    seen = await reader.find(task_id)
    assert seen is not None
    assert [one.attempt for one in seen.attempts] == list(range(8, newest + 1))


async def test_the_last_lines_of_an_attempt_are_read_over_many_entries(spine: Spine, reader: TaskReader) -> None:
    writer = Writer(spine)
    await writer.begin()
    for first in range(1, 200):
        await writer.write(f"line {first}", first=first, last=first == 199)
    await writer.write("of another", attempt=2)
    wrote = await reader.wrote(UUID(writer.id), 1, 3)
    assert [line.text for line in wrote.lines] == ["line 197", "line 198", "line 199"]
    assert wrote.written is not None
    assert (wrote.written.written, wrote.written.is_complete) == (199, True)
    nothing = await reader.wrote(UUID(writer.id), 3, 3)
    assert (nothing.lines, nothing.written) == ([], None)


def test_an_id_says_when_it_was_made_unless_it_is_none_of_ours() -> None:
    made = named_at(UUID(str(uuid_utils.uuid7())))
    assert made is not None
    assert abs((datetime.now(UTC) - made).total_seconds()) < 60
    assert named_at(UUID("6fa459ea-ee8a-4ca4-894e-db77e160355e")) is None
    assert named_at(UUID(int=lowest_id(datetime.now(UTC) + timedelta(days=2)).int | 7 << 76 | 2 << 62)) is None
