"""Queues whose names have a dot or a hyphen go all the way."""

import pytest

from pointsman_contract.queues import PoolSpec, QueueSpec, Topology, list_key, step_of
from pointsman_service.settings import Settings
from tests.integration.spine import Spine, new_task

NAMES = ("imports.eu", "imports-eu")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    topology = Topology(
        queues=tuple(QueueSpec(name=name, priority=5, sla_seconds=9) for name in NAMES),
        pools=tuple(PoolSpec(name=name, queues=(name,), processes=1) for name in NAMES),
        fallback=NAMES[0],
    )
    return settings.model_copy(update={"topology": topology})


async def test_tasks_of_such_queues_are_sent_apart_and_run(spine: Spine) -> None:
    for name in NAMES:
        await spine.commits.join(new_task(queue=name, priority=5))
    await spine.commits.drain()
    await spine.dispatcher.single_pass()
    depths = (await spine.broker.depths()).queues
    assert {name: depths[name].messages for name in NAMES} == dict.fromkeys(NAMES, 1)
    for name in NAMES:
        message = await spine.message(list_key(name, step_of(5)))
        assert message is not None
        await spine.report(message, await spine.gate(message))
    await spine.record_all()
    rows = await spine.rows("SELECT queue, state FROM task")
    assert {row["queue"]: row["state"] for row in rows} == dict.fromkeys(NAMES, "succeeded")
