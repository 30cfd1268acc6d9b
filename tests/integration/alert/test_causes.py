"""One cause is one alert, written down and told."""

import time
from typing import Any

import pytest

from pointsman_service.alert.wording import subject_line, text_of
from pointsman_service.app import Process, Role
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.store.queues import pausing
from tests.integration.alert.conftest import Alerting
from tests.integration.operate.test_errors import failed
from tests.integration.spine import Spine, new_task
from tests.peers.http import HTTPPeer, Reply
from tests.stand.waiting import until

KEY_OF_SMTP = "breaker_open:dependency:smtp"
_HELD_SECONDS = 30.0
"""As long as any condition has to hold."""


async def let_wait(spine: Spine, *queues: str, seconds: int = 40) -> None:
    """A task on each that has been due for so long and was not sent."""
    for queue in queues:
        await spine.commits.join(new_task(queue=queue, priority=5))
    await spine.commits.drain()
    await spine.run(
        "UPDATE task_live SET place = 'waiting', due_at = now() - CAST(:age AS float8) * interval '1 second'",
        age=seconds,
    )


@pytest.fixture
def alerting(alerting: Alerting) -> Alerting:
    """One that has watched for long who leads."""
    alerting.known_since = time.monotonic() - 86_400
    return alerting


async def lead(spine: Spine, *names: str) -> None:
    for name in names:
        await spine.run(
            "INSERT INTO leader (name, holder, expires_at) VALUES (:name, 'me', now() + interval '1 hour')"
            " ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
            name=name,
        )


async def gone(spine: Spine, name: str, seconds: int = 20) -> None:
    await spine.run(
        "UPDATE leader SET expires_at = now() - CAST(:age AS float8) * interval '1 second' WHERE name = :name",
        name=name,
        age=seconds,
    )


async def look(alerting: Alerting) -> None:
    """A look after everything has been true, or over, for long."""
    for _ in range(2):
        await alerting.sweep.single_pass()
        alerting.sweep._true_since = dict.fromkeys(alerting.sweep._true_since, time.monotonic() - _HELD_SECONDS)
        alerting.sweep._over_since = dict.fromkeys(alerting.sweep._over_since, float("-inf"))
        alerting.sweep._refresh_at = 0.0


async def open_keys(alerting: Alerting) -> list[str]:
    return [row["key"] for row in await alerting.rows() if row["resolved_at"] is None]


async def test_cause_is_one_alert_whose_consequences_it_names_and_they_come_back_after_it(alerting: Alerting) -> None:
    spine = alerting.spine
    await lead(spine, "dispatcher", "recorder", "epoch")
    await let_wait(spine, "email", "reports", seconds=90)
    await gone(spine, "dispatcher")
    await look(alerting)
    await look(alerting)
    (row,) = await alerting.rows()
    assert (row["key"], row["severity"], row["resolved_at"]) == ("no_dispatcher", "page", None)
    assert row["also"] == ["backlog_old:email", "backlog_old:reports"]
    await lead(spine, "dispatcher")
    await look(alerting)
    assert await open_keys(alerting) == [], "who catches up gets time"
    await spine.run(
        "UPDATE alert SET since = since - interval '10 minutes', resolved_at = now() - interval '11 minutes'"
    )
    await look(alerting)
    assert await open_keys(alerting) == ["backlog_old"]


async def test_alert_that_came_before_its_cause_was_found_is_told_with_it_and_one_of_long_before_stays(
    alerting: Alerting, http_peer: HTTPPeer
) -> None:
    http_peer.on("/hook", Reply(204))
    spine = alerting.spine
    await lead(spine, "dispatcher", "recorder", "epoch")
    await let_wait(spine, "email", seconds=20)
    await look(alerting)
    assert await open_keys(alerting) == ["backlog_old:email"]
    await gone(spine, "dispatcher")
    await look(alerting)
    await look(alerting)
    await alerting.deliver()
    assert await open_keys(alerting) == ["no_dispatcher"]
    (backlog, _) = await alerting.rows()
    assert backlog["part_of"] == "no_dispatcher"
    messages = [one.json() for one in http_peer.requests]
    # Of one alert they come in order; those of two may overtake one another.
    assert sorted((one["type"], one["data"]["key"]) for one in messages) == [
        ("alert.opened", "backlog_old:email"),
        ("alert.opened", "no_dispatcher"),
        ("alert.resolved", "backlog_old:email"),
    ]
    _, folded = [one["data"] for one in messages if one["data"]["key"] == "backlog_old:email"]
    assert folded["event"] == "resolved"
    assert subject_line(folded) == (
        "[ticket] Told from now on with no_dispatcher: Tasks waited for longer than their target (email)"
    )


async def test_alert_of_long_before_a_cause_stays(alerting: Alerting) -> None:
    spine = alerting.spine
    await lead(spine, "dispatcher", "recorder", "epoch")
    await let_wait(spine, "email", seconds=20)
    await look(alerting)
    await spine.run("UPDATE alert SET opened_at = now() - interval '1 hour'")
    await gone(spine, "dispatcher")
    await look(alerting)
    await look(alerting)
    assert await open_keys(alerting) == ["backlog_old:email", "no_dispatcher"]


async def test_what_is_over_says_what_was_and_for_how_long(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(204))
    spine = alerting.spine
    await lead(spine, "dispatcher", "recorder", "epoch")
    await gone(spine, "recorder", 235)
    await look(alerting)
    await lead(spine, "recorder")
    await look(alerting)
    await alerting.deliver()
    over: Any = http_peer.requests[-1].json()["data"]
    assert over["was"] == "No recorder ran"
    assert 239 <= over["lasted_seconds"] <= 300
    assert subject_line(over) == "[page] Resolved after 4 min: No recorder ran"
    assert "It was: No recorder runs: tasks start and end" in text_of(over)


async def test_ticket_that_becomes_a_page_is_told_to_who_takes_pages(closed_spine: Spine, hook: Any) -> None:
    alerting = Alerting(closed_spine, hook.model_copy(update={"severities": ("page",)}))
    spine = alerting.spine
    await lead(spine, "dispatcher", "recorder", "epoch")
    await let_wait(spine, "email", "reports", seconds=90)
    await look(alerting)
    assert (await alerting.rows())[0]["key"] == "backlog_old"
    assert await alerting.deliveries() == []
    await let_wait(spine, "critical", seconds=90)
    await look(alerting)
    (row,) = await alerting.rows()
    assert (row["severity"], row["value"]) == ("page", 3)
    assert [one["event"] for one in await alerting.deliveries()] == ["opened"]


async def test_open_alerts_are_listed_by_cause_on_every_page(alerting: Alerting, api: Any) -> None:
    rules = ("dead_letters", "broker_away", "sla_fast_burn", "no_recorder")
    for number, rule in enumerate((*rules, "worker_lost")):
        await alerting.spine.run(
            "INSERT INTO alert (id, key, rule, subject, severity, summary, unit, link, since, resolved_at) VALUES"
            " (CAST(:id AS uuid), :rule, :rule, '', 'page', 'x', '', '/', now(), CASE WHEN :over THEN now() END)",
            id=f"01a20271-c811-71a5-99c0-00000000000{number}",
            rule=rule,
            over=rule == "worker_lost",
        )
    listed, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/v1/alerts?limit=1{cursor}")).json()
        listed += [item["rule"] for item in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert listed == ["broker_away", "no_recorder", "sla_fast_burn", "dead_letters", "worker_lost"]


async def test_role_is_missed_only_when_it_was_looked_for_so_long(alerting: Alerting) -> None:
    await lead(alerting.spine, "dispatcher", "epoch")
    await alerting.spine.run(
        "INSERT INTO leader (name, holder, expires_at) VALUES ('recorder', 'me', now() - interval '8 hours')"
    )
    for known_since, told in ((None, []), (time.monotonic(), []), (time.monotonic() - 11, ["no_recorder"])):
        alerting.known_since = known_since
        await alerting.sweep.single_pass()
        assert await open_keys(alerting) == told


async def test_queue_that_was_resumed_is_known_as_that(alerting: Alerting) -> None:
    async with alerting.spine.store.statement() as connection:
        for queue, paused in (("email", True), ("reports", False)):
            await pausing.set_paused(connection, queue, paused=paused, reason=None, actor="ada")
    facts = await alerting.sweep._lookout.look()
    assert facts.queues is not None
    found = {queue.name: (queue.paused, queue.resumed_seconds) for queue in facts.queues}
    assert (found["critical"], found["email"]) == ((False, None), (True, None))
    assert 0 <= (found["reports"][1] or -1) < 60


async def test_whoever_is_left_tells_that_there_is_no_reconciler(closed_spine: Spine) -> None:
    alerting = Alerting(closed_spine, leader_seconds=0.5, alert_role_missing_seconds=1.0, alert_interval_seconds=0.1)

    async def opened() -> bool:
        return "no_reconciler" in await open_keys(alerting)

    async def stood_in() -> bool:
        rows = await closed_spine.rows("SELECT expires_at > now() AS holds FROM leader WHERE name = 'stand-in'")
        return [row["holds"] for row in rows] == [False]

    async with (
        Process(alerting.settings, {Role.DISPATCHER}).running(),
        Process(alerting.settings, {Role.RECORDER}).running(),
    ):
        await until(opened, "the alert")
        assert await open_keys(alerting) == ["no_reconciler"]
        async with Process(alerting.settings, {Role.RECONCILER}).running():
            await until(stood_in, "the stand-in to end")


async def test_new_error_is_told_once_and_one_that_a_breaker_holds_is_told_with_that(alerting: Alerting) -> None:
    spine = alerting.spine
    await failed(spine, "KeyError", "'price'")
    await failed(spine, "OSError", "no answer from 10.0.0.1", blamed="dependency:smtp")
    await alerting.trip()
    for _ in range(2):
        await look(alerting)
    told = {row["key"]: row for row in await alerting.rows() if not row["rule"].startswith("no_")}
    new, breaker = f"error_new:task_type:noop#{group_of('noop', 'KeyError', repr('price'), '')}", KEY_OF_SMTP
    assert set(told) == {new, breaker}
    assert told[new]["summary"] == "noop fails with a new error: KeyError: <text>."
    assert [key.rpartition("#")[0] for key in told[breaker]["also"]] == ["error_new:dependency:smtp"]
    await spine.run("UPDATE error_group SET state = 'ignored', news_at = NULL WHERE error_type = 'KeyError'")
    await look(alerting)
    assert [row["key"] for row in await alerting.rows() if row["resolved_at"] is not None] == [new]
