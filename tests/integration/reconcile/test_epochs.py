"""Redis that comes back as another server: faults.md rows 12 and 13, step by step."""

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.beats import BeatWatch
from pointsman_service.reconcile.epochs import EpochSweep
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def epoch(spine: Spine) -> tuple[int, bool]:
    number, is_open = await spine.server.command("HMGET", keys.CONTROL, "epoch", "open")
    return int(number), is_open == b"1"


async def test_the_first_epoch_opens_at_once(closed_spine: Spine) -> None:
    await closed_spine.open_epoch()
    assert await epoch(closed_spine) == (1, True)


async def test_a_server_that_stays_keeps_its_epoch(spine: Spine) -> None:
    for _ in range(3):
        await spine.epochs.single_pass()
    await EpochSweep(spine.store, spine.server, spine.settings).single_pass()
    assert await epoch(spine) == (1, True)


async def test_an_emptied_redis_gets_everything_that_was_sent_again(spine: Spine) -> None:
    tasks = [new_task() for _ in range(5)]
    for task in tasks:
        await spine.commits.join(task)
    await spine.commits.drain()
    await spine.server.command("FLUSHALL")
    await spine.open_epoch()
    assert await epoch(spine) == (2, True)
    await spine.dispatcher.single_pass()
    sent = [await spine.message(MAINTENANCE) for _ in tasks]
    assert [message["headers"]["id"] for message in sent if message] == [task.id for task in tasks]
    assert {message["headers"]["pointsman"]["epoch"] for message in sent if message} == {2}


async def test_what_may_have_run_when_redis_and_its_node_were_lost_is_counted_and_shown(spine: Spine) -> None:
    ran, told = new_task(), new_task()
    for task in (ran, told):
        await spine.commits.join(task)
    await spine.commits.drain()
    messages = [await spine.message(MAINTENANCE) for _ in range(2)]
    assert messages[0] is not None
    assert messages[1] is not None
    # The first runs, and nobody reads of it any more; of the second the start is written down.
    await spine.gate(messages[1])
    await spine.record_all()
    await spine.gate(messages[0])
    await spine.server.command("FLUSHALL")
    await spine.open_epoch()
    rows = await spine.rows("SELECT id::text, uncertain_sendings AS n FROM task_live")
    assert {row["id"]: row["n"] for row in rows} == {ran.id: 1, told.id: 0}
    assert (await spine.counters())["uncertain_sendings"] == 1
    await spine.dispatcher.single_pass()
    again = await spine.message(MAINTENANCE)
    assert again is not None
    await spine.report(again, await spine.gate(again, token="again"), token="again")
    await spine.record_all()
    (row,) = await spine.rows("SELECT attempt, uncertain_sendings AS n FROM task")
    assert row == {"attempt": 1, "n": 1}, "an attempt that nobody knew of has no number"


async def test_data_of_another_server_gets_a_new_epoch(spine: Spine) -> None:
    """A restored snapshot: everything is there, and its run_id is the old server's."""
    await spine.server.command("HSET", keys.CONTROL, "run_id", "the server before")
    await spine.open_epoch()
    assert await epoch(spine) == (2, True)


async def test_what_a_living_worker_runs_is_not_sent_again(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, token="alive")
    # Its start is in the stream that is lost now: the row still says queued.
    await spine.server.command("FLUSHALL")
    await beat(spine, "w#1", 2, 9, (message["headers"]["id"], 1, "alive"))
    await spine.open_epoch()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "sent"}]
    claim = await spine.server.command("HMGET", keys.claim(message["headers"]["id"]), "state", "token", "owner")
    assert claim == [b"running", b"alive", b"w#1"]
    await spine.report(message, verdict, token="alive")
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_the_census_waits_for_a_worker_that_lived_a_moment_ago(spine: Spine) -> None:
    watch = BeatWatch(spine.store, spine.server, spine.settings)
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter)
        await watch.single_pass()
    await spine.server.command("FLUSHALL")
    for _ in range(5):
        await spine.epochs.single_pass()
    assert await epoch(spine) == (2, False)
    await beat(spine, "w#1", 2, 3)
    await spine.open_epoch()
    assert await epoch(spine) == (2, True)


async def test_a_dead_worker_holds_the_census_up_no_longer_than_its_time(spine: Spine) -> None:
    watch = BeatWatch(spine.store, spine.server, spine.settings)
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter)
        await watch.single_pass()
    await spine.server.command("FLUSHALL")
    await spine.epochs.single_pass()
    await spine.run("UPDATE broker_epoch SET declared_at = declared_at - interval '4 seconds'")
    await spine.open_epoch()
    assert await epoch(spine) == (2, True)


async def test_outcomes_left_in_the_old_stream_are_recorded_before_anything_is_sent_again(spine: Spine) -> None:
    """A restart that kept the data: the outcome is in the old epoch's stream, unread."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.report(message, await spine.gate(message))
    await spine.server.command("HSET", keys.CONTROL, "run_id", "the server before")
    await spine.open_epoch()
    await spine.dispatcher.single_pass()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]
    assert await spine.message(MAINTENANCE) is None
    assert await spine.server.command("EXISTS", keys.events(1)) == 0, "the old stream is gone"


async def test_a_leader_that_dies_between_postgres_and_redis_is_followed_up(spine: Spine) -> None:
    await spine.server.command("FLUSHALL")
    await spine.run("INSERT INTO broker_epoch (epoch, run_id) VALUES (2, :run_id)", run_id=await spine.server.run_id())
    await spine.open_epoch()
    assert await epoch(spine) == (2, True)


async def test_a_leader_that_dies_before_opening_redis_is_followed_up(spine: Spine) -> None:
    await spine.server.command("HSET", keys.CONTROL, "open", "0")
    await spine.epochs.single_pass()
    assert await epoch(spine) == (1, True)


async def test_workers_are_kept_with_the_time_they_were_seen(spine: Spine) -> None:
    watch = BeatWatch(spine.store, spine.server, spine.settings)
    await beat(spine, "w#1", 1, 1)
    await watch.single_pass()
    assert await spine.rows("SELECT owner FROM worker") == [], "one beat may be left over from before"
    await beat(spine, "w#1", 1, 2)
    await watch.single_pass()
    (row,) = await spine.rows("SELECT owner, name, queues, last_seen_at > now() - interval '5 s' AS seen FROM worker")
    assert row == {"owner": "w#1", "name": "w@h", "queues": ["maintenance"], "seen": True}


async def test_workers_are_shown_with_the_queues_they_consume_now(spine: Spine) -> None:
    watch = BeatWatch(spine.store, spine.server, spine.settings)
    for counter, queues in enumerate([["maintenance"], ["maintenance"], ["maintenance", "email"], ["email"]]):
        await beat(spine, "w#1", 1, counter, queues=queues)
        await watch.single_pass()
        if counter > 0:
            assert await spine.rows("SELECT queues FROM worker") == [{"queues": queues}]


async def test_a_beat_that_cannot_be_read_hides_no_other(spine: Spine) -> None:
    watch = BeatWatch(spine.store, spine.server, spine.settings)
    await spine.server.command("HSET", keys.BEATS, "bad", "not json")
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter)
        await watch.single_pass()
    assert len(await spine.rows("SELECT owner FROM worker")) == 1
