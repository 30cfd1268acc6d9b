import json
from typing import Any

from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site


async def row_of(site: Site, url: str) -> Any:
    task_id = url.rpartition("/")[2]
    (row,) = await site.run("SELECT * FROM task_live WHERE id = CAST(:id AS uuid)", id=task_id)
    return row


async def test_a_task_is_submitted_by_the_form_of_its_schema_and_taken_back_by_an_undo(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "types")
    await page.get_by_role("link", name="Submit… shop.ship").click()
    await page.get_by_label("order").fill("90071992547409931")
    await page.locator("[name='arg:to']").fill("Ada, 1 Main St")
    await page.locator("[name='arg:carrier']").select_option("bike")
    await page.locator("[name='arg:insured']").select_option("yes")
    await page.locator("[name='arg:labels']").fill('["fragile"]')
    await page.locator("[name=priority]").select_option("9")
    await page.get_by_role("button", name="Submit it").click()
    assert "Submitted: shop.ship." in await page.locator("#done").inner_text()
    row = await row_of(full, page.url)
    assert json.loads(row.kwargs) == {
        "order": 90071992547409931, "to": "Ada, 1 Main St", "carrier": "bike", "insured": True, "labels": ["fragile"],
    }  # fmt: skip
    assert (row.queue, row.priority) == ("reports", 9)
    await page.locator("#done").get_by_role("button", name="Cancel it").click()
    assert (await full.run("SELECT state FROM task WHERE id = :id", id=row.id))[0].state == "cancelled"


async def test_faults_stand_at_their_fields_beside_what_was_typed(visitor: Visitor, full: Site) -> None:
    page = visitor.page
    await page.goto(full.url + "types/shop.ship/submit")
    await page.locator("[name='arg:order']").fill("0")
    await page.locator("[name='arg:to']").fill("x")
    await page.locator("[name='arg:to']").press("Enter")
    order, to = page.locator("[name='arg:order']"), page.locator("[name='arg:to']")
    await expect(order).to_have_attribute("aria-invalid", "true")
    assert await to.input_value() == "x"
    assert "minimum of 1" in await page.locator("[id='fault-arg%3Aorder']").inner_text()
    await page.locator("[name='arg:labels']").fill("[1,")
    await order.fill("7")
    await page.get_by_role("button", name="Submit it").press("Enter")
    await expect(page.locator("[name='arg:labels']")).to_have_attribute("aria-invalid", "true")
    assert "this is no JSON" in await page.locator("#faults").inner_text()
    assert await order.input_value() == "7"
    assert (
        await full.run(
            "SELECT 1 FROM task_live WHERE task_type = 'shop.ship' AND queue = 'reports' AND state = 'queued'"
        )
        == []
    )


async def test_a_task_is_submitted_as_json(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "types/shop.ship/submit")
    await page.get_by_role("link", name="As JSON instead").click()
    await page.get_by_label("Positional arguments").fill('[7, "Ada"]')
    await page.get_by_label("Named arguments").fill('{"carrier": "horse"}')
    await page.get_by_role("button", name="Submit it").click()
    assert "carrier" in await page.locator("#faults").inner_text()
    await page.get_by_label("Named arguments").fill('{"carrier": "post"}')
    await page.get_by_label("Not before so many seconds").fill("3600")
    await page.get_by_role("button", name="Submit it").click()
    row = await row_of(full, page.url)
    assert (row.state, row.args, row.kwargs) == ("scheduled", '[7,"Ada"]', '{"carrier":"post"}')


async def test_a_task_type_says_how_it_does_where_it_goes_and_who_published_it(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "types?sort=failures")
    assert "shop.ship" in await page.locator("#type-rows tr").first.inner_text()
    await page.get_by_role("link", name="shop.ship", exact=True).click()
    shown = " ".join((await page.locator("main").inner_text()).split())
    assert "Failure rate 10 %" in shown
    assert "Queue reports set by the type" in shown
    assert "reports@host-1" in shown
    assert "in use" in await page.get_by_role("region", name="Who published it").inner_text()
    await page.goto(full.url + "search?q=shop.ship")
    await page.get_by_role("link", name="shop.ship").last.click()
    await expect(page).to_have_url(full.url + "types/shop.ship")
