import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.filling_breakers import open_one
from tests.browser.filling_errors import BANK, put_group, put_victims
from tests.browser.filling_tasks import put, put_attempt
from tests.browser.keyboard import Keyboard
from tests.browser.site import Site
from tests.browser.test_every_page import SCHEMES


async def group_of(site: Site, group_id: UUID) -> Any:
    (row,) = await site.run("SELECT * FROM error_group WHERE id = :id", id=group_id)
    return row


async def test_from_now_a_keyboard_alone_leads_to_a_traceback_by_one_key_and_to_running_victims_again_by_three(
    visitor: Visitor, own: Site, axe: str
) -> None:
    group_id = await put_group(own)
    victims = await put_victims(own, group_id, 3)
    await own.run("INSERT INTO replayed_task (task_id, replayed_as) VALUES (:id, :id)", id=victims[0])
    await open_one(own, ("dependency", "api.bank.example"))
    await own.run(
        "UPDATE breaker SET last_error = jsonb_set(last_error, '{task_id}', to_jsonb(CAST(:id AS text)))",
        id=str(victims[1]),
    )
    page, main = visitor.page, visitor.page.locator("main")
    keyboard = Keyboard(page)
    told = ("2 tasks would run again", "1 task run again already")

    # The cause names the error, which leads to a task that failed so.
    await page.goto(own.url)
    await keyboard.press("j")
    await keyboard.enter(page.locator("#causes").get_by_role("link", name="ConnectTimeout").first)
    assert 'File "/srv/shop/orders.py", line 41' in await page.locator("#traceback-2").inner_text()
    assert keyboard.activations == 1
    await keyboard.skip()
    await keyboard.enter(page.get_by_role("link", name="Run all victims of its error again… 2"))
    for words in told:
        await expect(main).to_contain_text(words)
    assert keyboard.activations == 2

    # The list of errors leads to its page.
    keyboard.activations = 0
    await keyboard.press("g", "n")
    await expect(page).to_have_url(own.url)
    await keyboard.go_to(page.locator("#live-news").get_by_role("link", name="KeyError"), "j")
    await keyboard.go_to(page.locator("#live-queues").get_by_role("link", name="critical"), "k")
    await keyboard.enter(page.locator("#live-news").get_by_role("link", name="KeyError"), "j")
    assert 'File "/srv/shop/orders.py", line 41' in await page.locator("#traceback").inner_text()
    await keyboard.skip()
    await keyboard.enter(page.get_by_role("link", name="Run its victims again"))
    for words in told:
        await expect(main).to_contain_text(words)
    await keyboard.skip()
    form = main.locator("form")
    await keyboard.fill(form, reason="the price is there", rate="0.01")
    await keyboard.enter(form.get_by_role("button", name="Run them again"))
    assert keyboard.activations == 3
    await expect(page.locator("#done")).to_contain_text("2 tasks run again so far")
    assert len(await own.run("SELECT 1 FROM replayed_task WHERE replay_id IS NOT NULL AND NOT undone")) == 2

    # Its undo is two keys away.
    await expect(page.locator("#done")).to_be_focused()
    await keyboard.go_to(page.locator("#done"), most=0)
    await page.evaluate(axe)
    assert await page.evaluate(SCHEMES["light"]) == []
    await keyboard.press("Tab")
    await keyboard.go_to(page.locator("#done").get_by_role("button", name="Undo"), most=0)
    await keyboard.press("Enter")
    await expect(page.locator("#done")).to_contain_text("put back")
    assert await own.run("SELECT 1 FROM replayed_task WHERE replay_id IS NOT NULL AND NOT undone") == []
    assert keyboard.unseen == set()


async def test_what_waits_for_its_next_attempt_is_cancelled_from_its_error(plain_visitor: Visitor, full: Site) -> None:
    group_id = await put_group(full, task_type="shop.wait")
    task_id = await put(full, "retrying", attempt=1, started=30, worker="w@h", due_in=600.0, task_type="shop.wait")
    await put_attempt(full, task_id, 1, 30, 5, "KeyError: 'price_cents'")
    await full.run("UPDATE task_attempt SET error_group = :group WHERE task_id = :id", group=group_id, id=task_id)
    page = plain_visitor.page
    await page.goto(full.url + f"errors/{group_id}")
    await page.get_by_role("link", name="Cancel what waits").click()
    await page.get_by_label("Reason").first.fill("nobody needs them")
    await page.get_by_role("button", name="Cancel what waits").click()
    assert "1 task cancelled so far" in await page.locator("#done").inner_text()
    assert await full.run("SELECT 1 FROM task WHERE id = :id AND state = 'cancelled'", id=task_id)


async def test_an_error_is_resolved_from_the_list_by_one_key_and_its_undo_keeps_the_filter(
    visitor: Visitor, full: Site
) -> None:
    group_id = await put_group(full, task_type="shop.resolved", error_type="LookupError")
    page = visitor.page
    await page.goto(full.url + "errors?state=open&task_type=shop.resolved")
    await page.get_by_role("button", name="Resolve: LookupError").press("Enter")
    assert "Resolved: LookupError" in await page.locator("#done").inner_text()
    assert (await group_of(full, group_id)).state == "resolved"
    assert "state=open&" in page.url or page.url.endswith("state=open")
    await page.locator("#done").get_by_role("button", name="Undo").press("Enter")
    assert (await group_of(full, group_id)).state == "open"
    assert "task_type=shop.resolved" in page.url
    assert await page.locator("#error-rows tr").count() == 1
    await page.goto(full.url + f"audit?act=resolve_error&subject={group_id}")
    assert "LookupError" in await page.locator("tbody").inner_text()


async def test_an_error_is_ignored_within_limits_and_opening_it_can_be_taken_back(
    plain_visitor: Visitor, full: Site
) -> None:
    group_id = await put_group(full, task_type="shop.ignored")
    page = plain_visitor.page
    await page.goto(full.url + f"errors/{group_id}")
    at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0, second=0)
    form = page.locator("#ignore")
    await form.locator("[name=at]").fill(f"{at:%Y-%m-%dT%H:%M}")
    await form.get_by_label("or more an hour than").fill("a few")
    await form.get_by_label("Reason").fill("their maintenance")
    await form.get_by_role("button", name="Ignore").click()
    assert "or more an hour than: this is no number" in await page.locator("#faults").inner_text()
    assert await form.get_by_label("Reason").input_value() == "their maintenance"
    assert (await group_of(full, group_id)).state == "open"
    await form.get_by_label("or more an hour than").fill("100")
    await form.get_by_role("button", name="Ignore").click()
    row = await group_of(full, group_id)
    assert (row.state, row.ignored_until, row.ignored_per_hour, row.set_by) == ("ignored", at, 100, "local")
    assert "their maintenance" in await page.locator("#live-group").inner_text()
    await page.get_by_role("button", name="Open again").click()
    assert (await group_of(full, group_id)).state == "open"
    await page.locator("#done").get_by_role("button", name="Undo").click()
    row = await group_of(full, group_id)
    assert (row.state, row.ignored_until, row.ignored_per_hour) == ("ignored", at, 100)
    assert row.set_reason == "their maintenance"


async def test_what_changed_last_comes_first_and_news_is_told_from_what_is_known(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    for state, words in (("resolved", "in 2.4.1"), ("ignored", "100 times an hour")):
        await page.goto(full.url + f"errors?state={state}")
        assert words in await page.locator("#live-rows").inner_text()
    await page.goto(full.url + f"errors?breaker={BANK}")
    row = page.locator("#error-rows tr")
    assert await row.count() == 1
    assert "back again" in await row.inner_text()
    await row.get_by_role("link").first.click()
    assert "they have a new address" in await page.locator("#live-group").inner_text()
    await page.get_by_role("link", name=BANK).click()
    assert page.url.endswith("breakers/dependency/api.bank.example")
    await page.goto(full.url + "errors")
    changed = [row.changed_at for row in await full.run("SELECT changed_at FROM error_group ORDER BY changed_at DESC")]
    ids = [await one.get_attribute("id") for one in await page.locator("#error-rows tr").all()]
    shown = [(await group_of(full, UUID(str(one).removeprefix("error-")))).changed_at for one in ids]
    assert shown == changed


async def test_a_long_list_of_errors_goes_on_where_it_ended(plain_visitor: Visitor, own: Site) -> None:
    for number in range(52):
        await put_group(own, error_type=f"E{number}", tasks=0)
    page = plain_visitor.page
    await page.goto(own.url + "errors?order=most")
    first = {await row.get_attribute("id") for row in await page.locator("#error-rows tr").all()}
    await page.get_by_role("link", name="Show older").click()
    rest = {await row.get_attribute("id") for row in await page.locator("#error-rows tr").all()}
    assert (len(first), len(rest), len(first | rest)) == (50, 2, 52)
    await page.goto(own.url + "errors?cursor=nonsense")
    assert re.search("no cursor", await page.locator("main").inner_text())
