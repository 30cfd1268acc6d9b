import asyncio

from pointsman_contract.queues import list_key
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.settings import Settings
from tests.integration.spine import Spine, new_task


async def waiting(closed_spine: Spine, *priorities: int, queue: str = "maintenance") -> list[str]:
    """Tasks that were accepted while nothing could be published; their ids, in order."""
    tasks = [new_task(queue=queue, priority=priority) for priority in priorities]
    for task in tasks:
        await closed_spine.commits.join(task)
    return [task.id for task in tasks]


async def test_waiting_tasks_are_sent_most_urgent_and_oldest_first(closed_spine: Spine) -> None:
    low, high, low_again = await waiting(closed_spine, 3, 9, 3)
    await closed_spine.open_epoch()
    await closed_spine.dispatcher.single_pass()
    first = await closed_spine.message(list_key("maintenance", 1))
    assert first is not None
    assert first["headers"]["id"] == high
    rest = [await closed_spine.message(list_key("maintenance", 7)) for _ in range(2)]
    assert [message["headers"]["id"] for message in rest if message] == [low, low_again]
    assert await closed_spine.rows("SELECT DISTINCT place, dispatch, sent_epoch FROM task_live") == [
        {"place": "sent", "dispatch": 1, "sent_epoch": 1}
    ]
    assert await closed_spine.rows("SELECT id FROM outbox") == []


async def test_no_more_is_sent_than_the_window_holds(closed_spine: Spine, settings: Settings) -> None:
    small = settings.model_copy(update={"window_initial": 5})
    closed_spine.dispatcher = Dispatcher(closed_spine.store, closed_spine.broker, closed_spine.publisher, small)
    await waiting(closed_spine, *[3] * 12)
    await closed_spine.open_epoch()
    for _ in range(3):
        await closed_spine.dispatcher.single_pass()
    depths = await closed_spine.broker.depths()
    assert depths.queues["maintenance"].messages == 5
    for _ in range(2):
        await closed_spine.message(list_key("maintenance", 7))
    await closed_spine.dispatcher.single_pass()
    assert (await closed_spine.broker.depths()).queues["maintenance"].messages == 5
    places = await closed_spine.rows("SELECT place, count(*)::int AS n FROM task_live GROUP BY place ORDER BY place")
    assert {row["place"]: row["n"] for row in places}["waiting"] == 5


async def test_a_new_submission_does_not_overtake_what_waits(closed_spine: Spine) -> None:
    await waiting(closed_spine, 3)
    await closed_spine.open_epoch()
    await closed_spine.dispatcher._state({"maintenance"}, {})
    await closed_spine.window.refresh()
    await closed_spine.commits.join(new_task())
    assert await closed_spine.rows("SELECT DISTINCT place FROM task_live") == [{"place": "waiting"}]


async def test_two_dispatchers_send_each_task_once(closed_spine: Spine) -> None:
    other = Dispatcher(closed_spine.store, closed_spine.broker, closed_spine.publisher, closed_spine.settings)
    await waiting(closed_spine, *[3] * 10)
    await closed_spine.open_epoch()
    await asyncio.gather(closed_spine.dispatcher.single_pass(), other.single_pass())
    await other.single_pass()
    assert (await closed_spine.broker.depths()).queues["maintenance"].messages == 10


async def test_nothing_is_sent_while_memory_is_short(closed_spine: Spine) -> None:
    await waiting(closed_spine, 3)
    await closed_spine.open_epoch()
    await closed_spine.broker.measure_memory()
    await closed_spine.server.command("CONFIG", "SET", "maxmemory", "1000000000")
    try:
        used = int((await closed_spine.server.command("MEMORY", "STATS"))[1])
        await closed_spine.server.command("CONFIG", "SET", "maxmemory", str(used))
        await closed_spine.dispatcher.single_pass()
        assert (await closed_spine.broker.depths()).queues["maintenance"].messages == 0
        assert await closed_spine.rows("SELECT place FROM task_live") == [{"place": "waiting"}]
    finally:
        await closed_spine.server.command("CONFIG", "SET", "maxmemory", "0")
