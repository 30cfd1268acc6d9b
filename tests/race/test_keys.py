"""Races for one Idempotency-Key."""

import asyncio
from collections import Counter
from typing import Any

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.submission import Submission
from pointsman_service.callers import LOCAL
from pointsman_service.reconcile.forgotten_keys import ForgottenKeysSweep
from pointsman_service.store.workers import catalogue
from pointsman_service.submit.group_commit import GroupCommit
from pointsman_service.submit.submitter import Accepted, Submitter
from tests.race.world import World

_PARALLEL = 500


async def offered(race: World) -> None:
    """The task type that is submitted here, as a worker publishes it."""
    async with race.spine.store.transaction() as connection:
        await catalogue.publish(
            connection, "w@h", [TaskTypeSpec(name="noop", queue="maintenance", time_limit_seconds=9)]
        )


def process(race: World) -> Submitter:
    """The submitter of an API process of its own."""
    spine = race.spine
    commits = GroupCommit(spine.store, spine.publisher, spine.window, spine.settings)
    return Submitter(spine.store, Catalogue(spine.store), commits, spine.settings)


async def submit(process: Submitter, key: str) -> Accepted:
    return await process.submit(LOCAL, Submission(task_type="noop"), key, None)


def outcomes(answers: list[Any]) -> tuple[set[str], Counter[bool]]:
    """The tasks that were named, and how often as new (False) or as a replay (True)."""
    return {answer.task_id for answer in answers}, Counter(answer.replayed for answer in answers)


async def test_five_hundred_parallel_submissions_with_one_key_are_one_task(race: World) -> None:
    await offered(race)
    processes = [process(race) for _ in range(3)]
    chosen = [race.random.choice(processes) for _ in range(_PARALLEL)]
    answers = await asyncio.gather(*(submit(one, "key") for one in chosen))
    ids, replayed = outcomes(answers)
    assert len(ids) == 1
    assert replayed == {False: 1, True: _PARALLEL - 1}
    assert len(await race.spine.rows("SELECT id FROM task_live")) == 1
    await race.settle()
    await race.check()


async def test_twins_of_several_processes_in_any_order_are_one_task(race: World) -> None:
    await offered(race)
    answers = await race.play(*(submit(process(race), "key") for _ in range(4)))
    ids, replayed = outcomes(answers)
    assert (len(ids), replayed[False]) == (1, 1)
    await race.settle()
    await race.check()


async def test_a_key_that_expires_while_it_is_used_again_stands_for_one_new_task(race: World) -> None:
    await offered(race)
    first = await submit(process(race), "key")
    await race.spine.run("UPDATE idempotency_key SET created_at = now() - interval '2 days'")
    *answers, _ = await race.play(
        *(submit(process(race), "key") for _ in range(3)),
        ForgottenKeysSweep(race.spine.store, race.spine.settings).single_pass(),
    )
    ids, replayed = outcomes(answers)
    assert len(ids) == 1
    assert first.task_id not in ids
    assert replayed == {False: 1, True: 2}
    await race.settle()
    assert len(await race.check()) == 2
