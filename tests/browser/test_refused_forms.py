"""A form that comes to nothing is shown again, with what is wrong and what was typed, on the page that it stands on."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.filling import open_alert
from tests.browser.filling_tasks import put
from tests.browser.site import Site


@pytest.mark.parametrize("scripts", [True, False])
async def test_what_was_typed_stays_in_the_form_that_was_refused_and_in_no_other(
    scripts: bool, visitor: Visitor, plain_visitor: Visitor, full: Site
) -> None:
    alert_id = await open_alert(full, f"no_worker:refused{scripts}", "refused has no live worker.")
    page = (visitor if scripts else plain_visitor).page
    await page.goto(f"{full.url}alerts/{alert_id}")
    silence = page.locator("form", has=page.get_by_role("button", name="Silence"))
    await silence.get_by_label("For").select_option("4 h")
    await silence.get_by_label("Of").select_option("every alert of its rule")
    await silence.get_by_label("Reason").fill("\u200b")
    await silence.get_by_role("button").click()

    await expect(page.locator("#refused")).to_contain_text("Nothing was done.")
    await expect(page.locator("#refused")).to_contain_text("reason: must say something")
    await expect(silence.get_by_label("Reason")).to_have_value("\u200b")
    await expect(silence.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    await expect(silence.get_by_label("For")).to_have_value("14400")
    await expect(silence.get_by_label("Of")).to_have_value("rule")
    acknowledge = page.locator("form", has=page.get_by_role("button", name="Acknowledge"))
    await expect(acknowledge.get_by_label("Reason")).to_have_value("")
    assert not await full.run("SELECT 1 FROM alert_silence WHERE matcher = 'no_worker' AND until > now()")

    await silence.get_by_label("Reason").fill("they move")
    await silence.get_by_role("button").click()
    await expect(page.locator("#done")).to_contain_text("Nobody is told of no_worker for 4 h.")
    await page.locator("#done").get_by_role("button", name="Undo").click()
    await expect(page.locator("#done")).to_contain_text("Told again from now on")


async def test_a_page_that_shows_a_refused_form_can_be_loaded_again_and_changes_its_light(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    address = f"{full.url}tasks/many/cancel?queue=reports"
    await page.goto(address)
    await page.get_by_label("Reason").first.fill("a loop")
    await page.get_by_label("Rate: tasks a second").fill("fast")
    await page.get_by_role("button", name="Cancel what waits").click()
    await expect(page.locator("#refused")).to_contain_text("rate: this is no number")
    await expect(page.get_by_label("Rate: tasks a second")).to_have_value("fast")
    await expect(page.get_by_label("Reason").first).to_have_value("a loop")
    await page.get_by_role("button", name="Change to light").click()
    assert page.url == address
    await page.get_by_role("link", name="load again").click()
    assert page.url == address
    await page.get_by_role("button", name="Change to dark").click()
    await page.get_by_role("button", name="Change to auto").click()


async def test_what_has_come_between_is_told_where_the_thing_is_shown_as_it_is_now(
    plain_visitor: Visitor, full: Site
) -> None:
    task_id = await put(full, "running", attempt=1, started=30, worker="reports@host-1#1")
    page = plain_visitor.page
    await page.goto(f"{full.url}tasks/{task_id}/cancel")
    await full.run("DELETE FROM task_live WHERE id = :id", id=task_id)
    await full.run(
        "INSERT INTO task (id, task_type, queue, priority, state, attempt, max_attempts, sla_seconds, caller, args,"
        " kwargs, submitted_at, due_at, finished_at, timeout_seconds) VALUES (:id, 'shop.charge', 'reports', 6,"
        " 'succeeded', 1, 4, 60, 'local', '[]', '{}', now(), now(), now(), 300)",
        id=task_id,
    )
    await page.get_by_label("Type cancel to go on").fill("cancel")
    await page.get_by_label("Reason").fill("it hangs")
    await page.get_by_role("button", name="Cancel it").click()
    await expect(page.locator("#refused")).to_contain_text("Nothing was done.")
    await expect(page.locator("#refused")).to_contain_text("The task has ended already: it is succeeded.")
    await expect(page.locator("h1")).to_contain_text("succeeded")
