"""What is done about a cause there where it is told: with scripts and without them, and taken back."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from pointsman_service.operate.act import ActKind
from tests.browser.conftest import Visitor
from tests.browser.filling import open_alert
from tests.browser.filling_breakers import open_one, registry_of
from tests.browser.site import Site

CRM = ("dependency", "crm.example")


async def seen(site: Site) -> str:
    entry = await registry_of(site).find(CRM)
    assert entry is not None
    return str(entry.breaker.seen)


async def clicks(page: Page, name: str, said: str) -> None:
    """A button of a cause; what is said then, and the undo of it."""
    await page.get_by_role("button", name=name).first.click()
    await expect(page.locator("#done")).to_contain_text(said)


async def undone(page: Page, said: str) -> None:
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text(said)


@pytest.mark.parametrize("scripts", [True, False])
async def test_what_can_be_taken_back_is_one_click_on_the_first_page_and_one_more_back(
    scripts: bool, visitor: Visitor, plain_visitor: Visitor, own: Site
) -> None:
    page = (visitor if scripts else plain_visitor).page
    await open_one(own, CRM, 2)
    await own.run(
        "INSERT INTO queue_pause (queue, paused, revision, changed_at, actor, reason)"
        " VALUES ('email', true, 1, now() - interval '5 minutes', 'ops', 'provider moves')"
    )
    alert_id = await open_alert(own, "no_worker:email", "email has no live worker.", severity="page")
    await page.goto(own.url)

    await clicks(page, "Keep it open: dependency:crm.example", "Forced open until somebody takes that away")
    assert await seen(own) == "forced_open"
    await expect(page.locator("#causes")).to_contain_text("crm.example is forced open")
    await undone(page, "Left to itself")
    assert await seen(own) == "open"

    await clicks(page, "Resume: email", "email is resumed")
    await expect(page.locator("#causes")).not_to_contain_text("email is paused")
    await undone(page, "email is paused: provider moves")
    await expect(page.locator("#causes")).to_contain_text("email is paused")

    await clicks(page, "Acknowledge: no_worker email", "Acknowledged by local")
    await expect(page.locator("#causes")).to_contain_text("Known to local")
    await undone(page, "Known to nobody again")
    assert await own.run("SELECT 1 FROM alert WHERE id = :id AND acked_at IS NULL", id=alert_id)

    await clicks(page, "Try it now: dependency:crm.example", "It is tried now")
    assert await seen(own) == "half_open"
    assert page.url == own.url
    await page.get_by_role("link", name="Close it… dependency:crm.example").click()
    assert page.url == own.url + "breakers/dependency/crm.example#by-hand"
    acts = [row.act for row in await own.run("SELECT act FROM audit ORDER BY id")]
    assert acts == [
        ActKind.FORCE_OPEN, ActKind.RESET, ActKind.RESUME, ActKind.PAUSE, ActKind.ACKNOWLEDGE, ActKind.UNACKNOWLEDGE,
        ActKind.PROBE,
    ]  # fmt: skip


async def test_who_knows_of_a_cause_knows_of_all_that_tells_of_it_until_that_is_taken_back(
    plain_visitor: Visitor, own: Site
) -> None:
    page = plain_visitor.page
    for key in ("backlog_old:email", "sla_at_risk:email"):
        await open_alert(own, key, "The oldest task on email has waited for 4 min.", severity="page")
    known = "SELECT count(*) FILTER (WHERE acked_at IS NOT NULL)::int AS known FROM alert"
    await page.goto(own.url)
    await expect(page.locator("#causes > article")).to_have_count(1)
    await clicks(page, "Acknowledge: backlog_old email", "Acknowledged by local")
    assert [row.known for row in await own.run(known)] == [2]
    await undone(page, "Known to nobody again")
    assert [row.known for row in await own.run(known)] == [0]


async def test_what_a_cause_counts_leads_to_exactly_these_tasks(plain_visitor: Visitor, own: Site) -> None:
    held = {str(one) for one in await open_one(own, CRM, 3)}
    await open_one(own, ("dependency", "other.example"), 2)
    await own.run(
        "INSERT INTO backlog_delta (queue, state, held_reason, tasks)"
        " SELECT queue, state, held_reason, count(*) FROM task_live GROUP BY queue, state, held_reason"
    )
    page: Any = plain_visitor.page
    await page.goto(own.url)
    await page.get_by_role("link", name="3 tasks", exact=True).click()
    rows = await page.locator("#task-rows tr").all()
    assert {str(await row.get_attribute("id")).removeprefix("task-") for row in rows} == held
    assert "held by breaker:dependency:crm.example" in await page.locator("form.filters").inner_text()
