"""Every act of the page Alerts: with scripts, without them, by keyboard alone; and by who may not."""

import pytest
from playwright.async_api import expect

from pointsman_service.callers import Caller, KnownBy
from pointsman_service.operate.act import ActKind
from pointsman_service.store.alerts import alerts
from tests.browser.conftest import Visitor
from tests.browser.filling import open_alert
from tests.browser.site import Site

SILENCED = "SELECT 1 FROM alert_silence WHERE matcher = :key AND until > now()"
ACKED = "SELECT acked_by, ack_reason FROM alert WHERE id = :id"


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_silence_is_one_click_and_its_undo_another(
    scripts: bool, visitor: Visitor, plain_visitor: Visitor, full: Site
) -> None:
    key = f"backlog_old:email{scripts}"
    await open_alert(full, key, f"email{scripts}: the oldest task waits for 4 min.")
    page = (visitor if scripts else plain_visitor).page
    await page.goto(full.url + "alerts")
    await page.get_by_role("button", name=f"Silence 1 h: email{scripts}").click()

    await expect(page.locator("#done")).to_contain_text(f"Nobody is told of {key} for 1 h.")
    assert await full.run(SILENCED, key=key)
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text("Told again from now on")
    assert not await full.run(SILENCED, key=key)
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text(f"Nobody is told of {key} for ")
    assert await full.run(SILENCED, key=key)
    await page.reload()
    await expect(page.locator("#done")).to_have_count(0)


async def test_who_knows_says_what_they_do_about_it(visitor: Visitor, full: Site) -> None:
    alert_id = await open_alert(full, "no_worker:acked", "acked has no live worker.")
    page = visitor.page
    await page.goto(f"{full.url}alerts/{alert_id}")
    await page.get_by_role("textbox", name="Reason").first.fill("I call them")
    await page.get_by_role("textbox", name="Name").fill("ada")
    await page.get_by_role("button", name="Acknowledge").click()

    await expect(page.locator("#done")).to_contain_text("Acknowledged by ada: acked has no live worker.")
    await expect(page.locator("#live-alert")).to_contain_text("ada: I call them")
    assert [tuple(row) for row in await full.run(ACKED, id=alert_id)] == [("ada", "I call them")]
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text("Known to nobody again")
    assert [tuple(row) for row in await full.run(ACKED, id=alert_id)] == [(None, None)]


async def test_an_undo_ends_the_silence_of_the_click_alone_and_keeps_who_knew_what(
    plain_visitor: Visitor, own: Site
) -> None:
    alert_id = await open_alert(own, "backlog_old:email", "email: the oldest task waits for 4 min.")
    page = plain_visitor.page
    await page.goto(f"{own.url}alerts/{alert_id}")
    async with own.store.transaction() as connection:
        await alerts.silence(connection, "backlog_old", 600.0, "ops", "the provider moves")
        await alerts.acknowledge(connection, alert_id, "ops", "I call them")
    await page.get_by_label("Reason").last.fill("too loud")
    await page.get_by_role("button", name="Silence").last.click()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text("Another silence goes on until")
    left = await own.run("SELECT actor FROM alert_silence WHERE until > now()")
    assert [row.actor for row in left] == ["ops"]

    await page.get_by_role("button", name="Take it back").click()
    await page.locator("#done").get_by_role("button", name="Undo").click()
    acked = await own.run(ACKED, id=alert_id)
    assert [tuple(row) for row in acked] == [("local", "I call them (as ops had it)")]


async def test_an_alert_is_silenced_by_keyboard_alone(visitor: Visitor, full: Site) -> None:
    await open_alert(full, "broker_memory", "Redis has used 81 % of its memory.", severity="page")
    page = visitor.page
    await page.goto(full.url)
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page).to_have_url(full.url + "alerts")
    row = page.locator("#open-rows tr", has_text="Redis has used 81 %")
    for _ in range(20):
        await page.keyboard.press("j")
        if await row.evaluate("row => row.contains(document.activeElement)"):
            break
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Acknowledge: Redis has used")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    await expect(page.locator("#done")).to_contain_text("Nobody is told of broker_memory for 1 h.")
    assert await full.run(SILENCED, key="broker_memory")


async def test_who_may_not_act_gets_no_button(visitor: Visitor, full: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    alert_id = await open_alert(full, "no_worker:rights", "rights has no live worker.")
    page = visitor.page
    looker = Caller("looker", KnownBy.ADDRESS, acts=frozenset({str(ActKind.ACKNOWLEDGE)}))
    monkeypatch.setattr("pointsman_service.front.callers.LOCAL", looker)
    await page.goto(full.url + "alerts")
    row = page.locator(f"#alert-{alert_id}")
    await expect(row.get_by_role("button")).to_have_text(["Acknowledge"])
    await expect(page.locator("#stream-state")).to_have_text("live")
    await expect(row.get_by_role("button")).to_have_text(["Acknowledge"])
    await page.goto(f"{full.url}alerts/{alert_id}")
    await expect(page.locator("main").get_by_role("button")).to_have_text(["copy", "Acknowledge"])


async def test_a_filter_is_in_the_address_and_taken_off_by_a_click(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "alerts")
    await page.get_by_label("Severity").select_option("page")
    await page.get_by_role("button", name="Filter").click()
    assert "severity=page" in page.url
    await expect(page.locator("#live-open")).not_to_contain_text("shopc.poisoned")
    await page.get_by_role("link", name="page (remove)").click()
    assert "severity" not in page.url
    await expect(page.locator("#live-open")).to_contain_text("shopc.poisoned")


async def test_the_list_of_what_is_over_goes_by_pages(plain_visitor: Visitor, own: Site) -> None:
    await own.run(
        "INSERT INTO alert (id, key, rule, subject, severity, summary, unit, link, since, opened_at, resolved_at)"
        " SELECT gen_random_uuid(), 'no_worker:' || n, 'no_worker', n::text, 'page', 'x', '', '/v1/queues', now(),"
        " now(), now() FROM generate_series(1, 60) n"
    )
    page = plain_visitor.page
    rows = page.locator("table", has_text="What was wrong").locator("tbody tr")
    await page.goto(own.url + "alerts")
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="Show older").click()
    await expect(rows).to_have_count(10)
    await page.get_by_role("link", name="Back to the newest").click()
    await expect(rows).to_have_count(50)
