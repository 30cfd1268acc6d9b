import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from structlog.testing import capture_logs

from pointsman_contract import keys
from pointsman_contract.states import TaskState
from pointsman_service.alert.facts import Facts
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.rules import judge
from pointsman_service.alert.sweep import limits_of
from pointsman_service.breaker.last_error import Said
from pointsman_service.observe.prediction.flow import Load, Node, Work, lines
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast
from pointsman_service.store.tasks.ending import end_unstarted
from tests.integration.alert.conftest import Alerting
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine, new_task
from tests.peers.http import HTTPPeer, Reply

KEY = "breaker_open:dependency:smtp"


async def test_breaker_that_opens_is_one_alert_until_it_has_closed(alerting: Alerting) -> None:
    await alerting.trip()
    for _ in range(3):
        await alerting.sweep.single_pass()
    (row,) = await alerting.rows()
    assert (row["key"], row["rule"], row["severity"]) == (KEY, "breaker_open", "ticket")
    assert row["since"] <= row["opened_at"]
    await alerting.close()
    await alerting.sweep.single_pass()
    (row,) = await alerting.rows()
    assert row["resolved_at"] is None, "it might open again at once"
    await alerting.resolve()
    (row,) = await alerting.rows()
    assert row["resolved_at"] is not None


async def test_alert_of_an_open_breaker_tells_the_last_error(alerting: Alerting) -> None:
    await alerting.trip(said=Said("SMTPServerDisconnected", "Connection unexpectedly closed"))
    await alerting.sweep.single_pass()
    (row,) = await alerting.rows()
    assert row["summary"].endswith(
        "its calls are held. Last error: SMTPServerDisconnected: Connection unexpectedly closed (5 times)."
    )


async def test_alert_of_dead_letters_tells_why_the_newest_failed(alerting: Alerting) -> None:
    spine = alerting.spine
    tasks = [new_task(task_type="invoice.send", max_attempts=1) for _ in range(alerting.settings.alert_dead_letters)]
    await asyncio.gather(*map(spine.commits.join, tasks))
    failed, error = [task.id for task in tasks], ("KeyError", "'customer'")
    async with spine.store.transaction() as connection:
        await end_unstarted(connection, (), failed, [], TaskState.FAILED, datetime.now(UTC), error)
    await alerting.sweep.single_pass()
    (row,) = await alerting.rows()
    assert row["key"] == "dead_letters:invoice.send"
    assert row["summary"].endswith(f"The newest: KeyError: 'customer' (task {max(failed)}).")


async def test_target_that_will_be_missed_is_told_once_and_before_it_is(alerting: Alerting) -> None:
    spine = alerting.spine
    ahead = {6: Work(400, 400.0, 400.0)}
    busy = lines([Node(("reports",), 2, [1.0, 1.0])], {"reports": Load(ahead, {})})
    forecast = Forecast({"reports": QueueForecast(None, busy["reports"])})
    await asyncio.gather(*(spine.commits.join(new_task(queue="reports", priority=6)) for _ in range(3)))
    await alerting.sweep.single_pass()
    assert await alerting.rows() == [], "nothing is predicted yet"
    await spine.server.command("SET", keys.FORECAST, forecast.as_json())
    for _ in range(3):
        await alerting.sweep.single_pass()
    (row,) = await alerting.rows()
    assert (row["key"], row["severity"], row["bound"]) == ("sla_at_risk:reports", "ticket", 60.0)
    assert row["summary"].startswith(
        "By the prediction a task that is submitted on reports starts 3 min after it is due"
    )
    # Then it is missed, which is told too, and the first is not told again.
    await spine.run("UPDATE task_live SET due_at = now() - interval '90 seconds'")
    alerting.sweep._true_since = {"backlog_old:reports": time.monotonic() - 11}
    await alerting.sweep.single_pass()
    await alerting.sweep.single_pass()
    assert sorted(row["key"] for row in await alerting.rows()) == ["backlog_old:reports", "sla_at_risk:reports"]
    # Over: nothing waits any more.
    await spine.run("DELETE FROM task_live")
    await alerting.resolve()
    assert all(row["resolved_at"] for row in await alerting.rows())


async def test_breaker_that_opens_again_soon_is_the_same_alert(alerting: Alerting) -> None:
    await alerting.trip()
    await alerting.sweep.single_pass()
    await alerting.close()
    await alerting.sweep.single_pass()
    await alerting.trip()
    await alerting.resolve("another")
    assert [row["resolved_at"] for row in await alerting.rows()] == [None]


async def test_cause_that_comes_back_is_another_alert(alerting: Alerting) -> None:
    for _ in range(2):
        await alerting.trip()
        await alerting.sweep.single_pass()
        await alerting.resolve()
    rows = await alerting.rows()
    assert [row["key"] for row in rows] == [KEY, KEY]
    assert all(row["resolved_at"] for row in rows)


async def test_alert_began_when_it_was_first_seen_to_be_so_and_not_when_it_had_held_for_long_enough(
    alerting: Alerting,
) -> None:
    lookout = Lookout(alerting.spine.store, alerting.spine.broker, alerting.spine.server, alerting.settings)
    judgement = judge(replace(await lookout.look(), memory_percent=92), limits_of(alerting.settings))
    await alerting.sweep.apply(await lookout.look(), judgement, [], time.monotonic())
    assert await alerting.rows() == []
    alerting.sweep._true_since = {"broker_full": time.monotonic() - 7}
    await alerting.sweep.apply(await lookout.look(), judgement, [], time.monotonic())
    (row,) = await alerting.rows()
    assert row["key"] == "broker_full"
    assert (row["opened_at"] - row["since"]).total_seconds() >= 7


async def test_many_sweeps_at_once_open_one_alert(alerting: Alerting) -> None:
    others = [alerting.another_sweep() for _ in range(3)]
    await alerting.trip()
    await asyncio.gather(*(sweep.single_pass() for sweep in (alerting.sweep, *others)))
    assert len(await alerting.rows()) == 1


async def test_two_leaders_at_once_open_one_alert_and_tell_it_once(alerting: Alerting) -> None:
    await alerting.trip()
    sweeps = [alerting.another_sweep() for _ in range(5)]
    lookout = Lookout(alerting.spine.store, alerting.spine.broker, alerting.spine.server, alerting.settings)
    facts = await lookout.look()
    judgement = judge(facts, limits_of(alerting.settings))
    now = asyncio.get_running_loop().time()
    await asyncio.gather(*(sweep.apply(facts, judgement, [], now) for sweep in sweeps))
    assert len(await alerting.rows()) == 1
    assert [one["event"] for one in await alerting.deliveries()] == ["opened"]


async def test_leader_that_was_frozen_does_nothing(alerting: Alerting) -> None:
    await alerting.trip()
    lookout = Lookout(alerting.spine.store, alerting.spine.broker, alerting.spine.server, alerting.settings)
    facts = await lookout.look()
    judgement = judge(facts, limits_of(alerting.settings))
    await alerting.sweep.apply(facts, judgement, [], asyncio.get_running_loop().time() - 6)
    assert await alerting.rows() == []


async def test_alert_is_told_when_it_opens_and_when_it_is_over(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(204))
    await alerting.trip()
    await alerting.look()
    await alerting.resolve()
    await alerting.deliver()
    told = [request.json() for request in http_peer.requests]
    assert [one["type"] for one in told] == ["alert.opened", "alert.resolved"]
    assert told[1]["data"]["resolved_at"] is not None
    assert {one["data"]["id"] for one in told} == {str((await alerting.rows())[0]["id"])}


async def test_channel_is_told_of_its_severities_only(closed_spine: Spine, hook: Any, http_peer: HTTPPeer) -> None:
    alerting = Alerting(closed_spine, hook.model_copy(update={"severities": ("page",)}))
    await alerting.trip()
    await alerting.sweep.single_pass()
    assert len(await alerting.rows()) == 1
    assert await alerting.deliveries() == []


async def test_alert_that_nobody_acknowledges_is_told_again(alerting: Alerting) -> None:
    await alerting.trip()
    await alerting.sweep.single_pass()
    await alerting.spine.run("UPDATE alert SET notified_at = now() - interval '5 hours'")
    await alerting.sweep.single_pass()
    await alerting.sweep.single_pass()
    assert [one["event"] for one in await alerting.deliveries()] == ["opened", "repeated"]
    await alerting.spine.run("UPDATE alert SET notified_at = now() - interval '5 hours', acked_at = now()")
    await alerting.sweep.single_pass()
    assert len(await alerting.deliveries()) == 2


async def test_without_a_channel_alerts_are_listed_and_logged(
    closed_spine: Spine,
) -> None:
    alerting = Alerting(closed_spine)
    with capture_logs() as lines:
        await alerting.trip()
        await alerting.sweep.single_pass()
        await alerting.resolve()
    assert [row["key"] for row in await alerting.rows()] == [KEY]
    assert await alerting.deliveries() == []
    said = [(line["event"], line["alert"]) for line in lines if "alert" in line]
    assert said == [("an alert was opened", KEY), ("an alert was resolved", KEY)]


async def test_alert_opened_without_a_channel_is_told_when_there_is_one(closed_spine: Spine, hook: Any) -> None:
    without = Alerting(closed_spine)
    await without.trip()
    await without.sweep.single_pass()
    alerting = Alerting(closed_spine, hook)
    await alerting.sweep.single_pass()
    assert [one["event"] for one in await alerting.deliveries()] == ["opened"]


async def test_queue_facts_name_the_oldest_task_in_postgres_and_on_the_broker(spine: Spine) -> None:
    alerting = Alerting(spine)
    for queue, priority in (("email", 7), ("reports", 2)):
        await spine.commits.join(new_task(queue=queue, priority=priority))
    await spine.commits.drain()
    await spine.run("UPDATE task_live SET due_at = now() - interval '40 seconds' WHERE queue = 'email'")
    await spine.run(
        "UPDATE task_live SET place = 'waiting', due_at = now() - interval '90 seconds' WHERE queue = 'reports'"
    )
    facts = await Lookout(spine.store, spine.broker, spine.server, alerting.settings).look()
    assert facts.queues is not None
    queues = {queue.name: queue for queue in facts.queues}
    assert 39 < (queues["email"].oldest_seconds or 0) < 60
    assert queues["email"].waiting_seconds is None
    assert 89 < (queues["reports"].waiting_seconds or 0) < 120
    assert queues["critical"].oldest_seconds is None
    assert queues["reports"].room is True
    assert queues["reports"].consumers is None, "workers are not judged before they had time to be seen"


async def test_time_that_tasks_were_held_is_no_wait(spine: Spine) -> None:
    for priority in (2, 2, 5):
        await spine.commits.join(new_task(queue="reports", priority=priority))
    await spine.commits.drain()
    await spine.run(
        "UPDATE task_live SET place = CASE WHEN priority = 2 THEN 'waiting' ELSE place END,"
        " due_at = now() - interval '10 minutes', held_wait_seconds = 590"
    )
    lookout = Lookout(spine.store, spine.broker, spine.server, spine.settings)
    facts = await lookout.look()
    assert facts.queues is not None
    (reports,) = [queue for queue in facts.queues if queue.name == "reports"]
    assert 9 < (reports.waiting_seconds or 0) < 60
    assert 9 < (reports.oldest_seconds or 0) < 60


async def test_counters_of_the_windows_are_summed_by_queue(spine: Spine) -> None:
    for minutes, met, missed in ((1, 10, 2), (20, 100, 0), (50, 0, 30), (200, 7, 7)):
        await spine.run(
            "INSERT INTO task_metrics (minute, task_type, queue, sla_met, sla_missed, failed) VALUES"
            " (date_trunc('minute', now()) - make_interval(mins => :minutes), 'noop', 'email', :met, :missed, 3)",
            minutes=minutes,
            met=met,
            missed=missed,
        )
    facts = await Lookout(spine.store, spine.broker, spine.server, spine.settings).look()
    assert facts.burns is not None
    burn = facts.burns["email"]
    assert [(one.met, one.missed) for one in (burn.five_minutes, burn.half_hour, burn.hour, burn.six_hours)] == [
        (10, 2),
        (110, 2),
        (110, 32),
        (117, 39),
    ]
    assert facts.failed == {"noop": 3}


async def test_broker_that_is_away_is_an_alert_and_its_workers_are_not(alerting: Alerting, valkey: Any) -> None:
    valkey.kill()
    await alerting.sweep.single_pass()
    assert await alerting.rows() == [], "it may be back in a moment"
    alerting.sweep._true_since = {"broker_away": time.monotonic() - 7}
    await alerting.sweep.single_pass()
    assert [row["key"] for row in await alerting.rows()] == ["broker_away"]


async def test_worker_that_fell_silent_is_lost_until_another_takes_its_place(spine: Spine) -> None:
    alerting = Alerting(spine, worker_dead_seconds=0.05)
    lookout = Lookout(spine.store, spine.broker, spine.server, alerting.settings)
    beats = 0

    async def look(**moving: dict[str, Any]) -> Facts:
        nonlocal beats
        beats += 1
        for owner, said in moving.items():
            await beat(spine, owner, 1, beats, **(_BEAT | said))
        return await lookout.look()

    lives: dict[str, Any] = {"name": "email@a", "pool": "email", "queues": ["email"]}
    assert (await look(one={}, two={"stopping": True}, three=lives)).lost_workers is None
    facts = await look(three=lives)
    while not facts.lost_workers:
        facts = await look(three=lives)
    assert [worker.name for worker in facts.lost_workers] == ["critical@a"], "not the one that said it stops"
    assert facts.queues is not None
    assert {queue.name: queue.consumers for queue in facts.queues}["critical"] == 0
    assert {queue.name: queue.consumers for queue in facts.queues}["email"] == 2
    facts = await look(three=lives | {"ejected": True})
    assert facts.queues is not None
    assert {queue.name: queue.consumers for queue in facts.queues}["email"] == 0, "it is off its queues"
    assert (await look(three=lives, four={"name": "critical@b", "started_at": 200.0})).lost_workers == ()


_BEAT: dict[str, Any] = {
    "name": "critical@a",
    "pool": "critical",
    "queues": ["critical"],
    "processes": 2,
    "started_at": 100.0,
}
