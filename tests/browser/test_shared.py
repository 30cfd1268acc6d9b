"""A task is shared from its page, and whoever has the link looks at it alone, live or without scripts."""

from playwright.async_api import expect

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.conftest import Visitor
from tests.browser.filling_tasks import put
from tests.browser.site import Site
from tests.browser.test_keys import key_of, signed_in


async def test_a_link_is_made_on_the_page_of_a_task_and_opens_it_alone(
    visitor: Visitor,
    plain_visitor: Visitor,
    postgres: PostgresServer,
    migrated_template: str,
    redis_of_browser: ValkeyServer,
) -> None:
    url = postgres.start().create_database(template=migrated_template)
    async with Site(url, redis_of_browser.url, keys_required=True) as site:
        task, page = await put(site, "queued"), visitor.page
        await signed_in(page, site, await key_of(site, "ops", "admin"), f"tasks/{task}")
        await page.get_by_role("link", name="Share…").click()
        await page.get_by_label("Lasts").select_option("900")
        await page.get_by_role("button", name="Make the link").click()
        link = await page.locator("#shared a").get_attribute("href")
        shown = await page.locator("#shared code").inner_text()
        assert link is not None
        assert shown.startswith(f"{site.url}shared/{task}?sig=")
        for one in (visitor, plain_visitor):
            await one.page.goto(shown)
            await expect(one.page.get_by_text("It waits for its turn.")).to_be_visible()
            await expect(one.page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(0)
            await expect(one.page.get_by_text("90071992547409931")).to_have_count(0)
            assert await one.page.locator("main form").count() == 0
        await site.run(
            "UPDATE task_live SET state = 'running', place = 'sent', started_at = now(), attempt = 1 WHERE id = :id",
            id=task,
        )
        await expect(page.locator("main").get_by_text("It is running.")).to_be_visible()
        assert "sig=" not in await page.evaluate("document.referrer")
