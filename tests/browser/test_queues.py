from typing import Any

import httpx
from playwright.async_api import expect

from pointsman_service.dashboard.asking import NO_REASON
from pointsman_service.embedded.postgres import PostgresServer
from tests.browser.conftest import Visitor
from tests.browser.filling_queues import set_message_aside
from tests.browser.filling_tasks import put
from tests.browser.site import Site
from tests.stand.waiting import until


async def said(visitor: Visitor) -> str:
    return await visitor.page.locator("#done").inner_text()


async def submit(site: Site, queue: str, **more: Any) -> str:
    """A task, as a program submits it: it is counted."""
    body = {"task_type": "shop.ship", "kwargs": {"order": 7, "to": "Ada"}, "queue": queue} | more
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{site.origin}/v1/tasks", json=body)
    return str(answer.raise_for_status().json()["id"])


async def paused(site: Site, queue: str) -> list[tuple[bool, str | None]]:
    return [
        (row.paused, row.reason)
        for row in await site.run("SELECT paused, reason FROM queue_pause WHERE queue = :queue", queue=queue)
    ]


async def test_a_queue_is_paused_from_the_list_by_one_click_and_its_undo_resumes_it(
    visitor: Visitor, full: Site
) -> None:
    page = visitor.page
    await page.goto(full.url + "queues")
    row = page.locator("#queue-maintenance")
    await row.get_by_role("button", name="Pause: maintenance").press("Enter")
    assert "maintenance is paused: no reason given, in the dashboard." in await said(visitor)
    assert "paused" in await row.inner_text()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert "maintenance is resumed" in await said(visitor)
    assert await paused(full, "maintenance") == [(False, NO_REASON)]


async def test_a_queue_is_paused_with_a_reason_and_paused_again_with_it_by_an_undo(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "queues/critical")
    await page.get_by_label("Reason").fill("the provider moves")
    await page.get_by_role("button", name="Pause").click()
    assert "critical is paused: the provider moves." in await said(plain_visitor)
    assert "by local: the provider moves" in await page.locator("#live-queue .under").inner_text()
    await page.get_by_role("button", name="Resume").click()
    assert await paused(full, "critical") == [(False, NO_REASON)]
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert await paused(full, "critical") == [(True, "the provider moves")]
    await page.get_by_role("button", name="Resume").click()


async def test_an_undo_leaves_what_another_has_set(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    set_by = (
        "INSERT INTO queue_pause (queue, paused, revision, reason, actor) VALUES ('email', true, 1, 'moves', 'ops')"
    )
    await page.goto(full.url + "queues")
    await full.run(f"{set_by} ON CONFLICT (queue) DO UPDATE SET paused = true, reason = 'moves', actor = 'ops'")
    await page.get_by_role("button", name="Pause: email").click()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert await paused(full, "email") == [(True, "moves (as ops had it)")]

    await page.goto(full.url + "queues")
    await full.run("UPDATE queue_pause SET paused = false WHERE queue = 'email'")
    before = await full.run("SELECT count(*) AS acts FROM audit")
    await page.get_by_role("button", name="Resume: email").click()
    assert "email was not paused: nothing is changed." in await said(plain_visitor)
    await expect(page.locator("#done").get_by_role("button")).to_have_count(0)
    assert await full.run("SELECT count(*) AS acts FROM audit") == before


async def test_a_queue_says_how_it_does_and_why_its_next_task_waits(plain_visitor: Visitor, full: Site) -> None:
    await put(full, "queued", queue="external_api")
    page = plain_visitor.page
    await page.goto(full.url + "queues/external_api")
    assert "paused by ada" in await page.locator(".also").inner_text()
    await page.goto(full.url + "queues/reports")
    shown = " ".join((await page.locator("#live-queue").inner_text()).split())
    assert "Target for the wait 1 min" in shown
    assert "of 2 processes that take from it" in shown
    assert "On the broker" in shown
    await expect(page.get_by_role("img", name="Oldest wait. oldest wait: lowest")).to_be_visible()
    await page.locator(".chart").first.get_by_text("As a table").click()
    table = page.get_by_role("region", name="Table: In and out a minute")
    assert "12" in await table.inner_text()
    await page.get_by_role("link", name="last day").click()
    await expect(page).to_have_url(full.url + "queues/reports?window=day")


async def test_a_purge_is_counted_first_and_done_by_who_types_the_name_and_says_why(
    plain_visitor: Visitor, full: Site
) -> None:
    for _ in range(2):
        await submit(full, "high_priority")
    await submit(full, "high_priority", delay_seconds=3600)
    page = plain_visitor.page
    await page.goto(full.url + "queues/high_priority")
    await page.get_by_role("link", name="Purge…").click()
    assert "2 tasks due and waiting" in await page.locator(".sentence").inner_text()
    await page.get_by_label("due later").check()
    await page.get_by_role("button", name="Count them").click()
    counted = await page.locator(".sentence strong").inner_text()
    assert counted == "3 tasks"
    for word, done in (("no", False), ("high_priority", True)):
        await page.get_by_label("Type high_priority to go on").fill(word)
        await page.get_by_label("Reason").fill("a loop of ours")
        await page.get_by_role("button", name="Purge", exact=True).click()
        asked = await full.run("SELECT 1 FROM task_live WHERE queue = 'high_priority' AND cancel_requested_at IS NULL")
        assert (asked == []) is done
    assert "3 tasks of high_priority purged: a loop of ours." in await said(plain_visitor)


async def test_a_purge_of_more_than_was_counted_is_refused_and_counted_again(
    plain_visitor: Visitor, full: Site
) -> None:
    task_id = await submit(full, "maintenance")
    page = plain_visitor.page
    await page.goto(full.url + "queues/maintenance/purge")
    await page.get_by_label("Type maintenance to go on").fill("maintenance")
    await page.get_by_label("Reason").fill("no use")
    older = await submit(full, "maintenance")
    await full.run("UPDATE task_live SET submitted_at = submitted_at - interval '1 min' WHERE id = :id", id=older)
    await page.get_by_role("button", name="Purge", exact=True).click()
    assert "nothing was done" in await page.locator("#faults").inner_text()
    assert await page.locator(".sentence strong").inner_text() == "2 tasks"
    (row,) = await full.run("SELECT cancel_requested_at FROM task_live WHERE id = :id", id=task_id)
    assert row.cancel_requested_at is None


async def test_messages_that_were_set_aside_are_read_as_text_and_discarded_up_to_the_newest_shown(
    plain_visitor: Visitor, full: Site
) -> None:
    await set_message_aside(full, "email", "its timelimit is no pair of seconds")
    page = plain_visitor.page

    async def is_told() -> bool:
        await page.goto(full.url + "queues/email")
        return "its timelimit is no pair of seconds" in await page.locator("main").inner_text()

    await until(is_told, "the message")
    await page.goto(full.url + "queues")
    await page.get_by_role("link", name="1 message").click()
    await page.get_by_text("Show").click()
    assert await page.locator("pre").inner_text() == '{"body": "<b>no</b>"}'
    await set_message_aside(full, "email", "came later")
    await page.get_by_label("Type discard to go on").fill("discard")
    await page.get_by_label("Reason").fill("a script wrote it")
    await page.get_by_role("button", name="Discard").click()
    assert "1 message discarded: a script wrote it. 1 message came later and stays." in await said(plain_visitor)
    assert "came later" in await page.locator("tbody").inner_text()
    await page.get_by_label("Type discard to go on").fill("discard")
    await page.get_by_label("Reason").fill("that too")
    await page.get_by_role("button", name="Discard").click()
    assert "No message was set aside." in await page.locator("main").inner_text()


async def test_queues_types_and_workers_are_shown_without_redis_and_say_what_is_missing(
    plain_visitor: Visitor, postgres: PostgresServer, migrated_template: str
) -> None:
    database = postgres.start().create_database(template=migrated_template)
    async with Site(database, "redis://127.0.0.1:1/0") as site:
        page = plain_visitor.page
        for path in ("queues", "queues/reports", "queues/set-aside/messages", "workers"):
            answer = await page.goto(site.url + path)
            assert answer is not None
            assert answer.status == 200, path
            assert "does not answer" in await page.locator("#banner").inner_text(), path
        await page.goto(site.url + "queues/reports")
        await page.get_by_label("Reason").fill("it is down")
        await page.get_by_role("button", name="Pause").click()
        assert "Redis is away: workers are told once it is back" in await said(plain_visitor)
