"""Sign in and out, and make, rotate and revoke keys: with scripts and without them."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from pointsman_service.callers import CONSOLE
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from tests.browser.conftest import Visitor
from tests.browser.site import Site

KEY = re.compile(r"pm_[0-9A-Za-z]{38}")


@pytest.fixture(scope="module")
async def asking(
    postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer
) -> AsyncIterator[Site]:
    """An installation that asks for keys."""
    url = postgres.start().create_database(template=migrated_template)
    async with Site(url, redis_of_browser.url, keys_required=True) as site:
        yield site


async def key_of(site: Site, name: str, preset: str) -> str:
    made = await KeyHand(site.store).create(CONSOLE, WantedKey(name, preset=preset), None)
    await site.dashboard._parts.keys.refresh()
    return made.token


async def signed_in(page: Page, site: Site, key: str, path: str = "") -> None:
    await page.goto(site.url + path)
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.get_by_role("textbox", name="Key", exact=True).fill(key)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scripts", [True, False])
async def test_who_signs_in_is_led_back_and_who_signs_out_is_out(
    scripts: bool, visitor: Visitor, plain_visitor: Visitor, asking: Site
) -> None:
    page = (visitor if scripts else plain_visitor).page
    key = await key_of(asking, f"looks-{scripts}", "viewer")
    await signed_in(page, asking, key, "queues/email?window=day")
    await expect(page).to_have_url(asking.url + "queues/email?window=day")
    await expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys")).to_have_count(0)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto(asking.url + "queues")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_wrong_key_is_told_to_who_cannot_see_it_too(visitor: Visitor, asking: Site) -> None:
    page = visitor.page
    await signed_in(page, asking, "pm_nothing")
    await expect(page.get_by_role("alert")).to_contain_text("This is no key")
    visitor.complaints.clear()


async def test_a_key_is_made_rotated_and_revoked_on_its_page(visitor: Visitor, asking: Site) -> None:
    page = visitor.page
    await signed_in(page, asking, await key_of(asking, "root", "admin"), "keys")
    await page.get_by_role("textbox", name="Name", exact=True).fill("billing")
    await page.get_by_role("combobox", name="May").select_option("submitter")
    wrong = {page.get_by_label("Tasks in seconds"): "fast", page.get_by_label("Tasks that may wait"): "many"}
    for field, words in wrong.items():
        await field.fill(words)
    await page.get_by_role("button", name="Make it").click()
    for field, words in wrong.items():
        await expect(page.locator("#refused")).to_contain_text(repr(words))
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_value(words)
    for field, words in zip(wrong, ("100/60s", "5000"), strict=True):
        await field.fill(words)
    await page.get_by_label("Turns where others have one").fill("2.5")
    await page.get_by_role("button", name="Make it").click()
    first = KEY.search(await page.locator("#made").inner_text())
    assert first is not None
    await page.get_by_role("link", name="What it may").click()
    for words in ("100 tasks in 60 s", "5,000 of its tasks"):
        await expect(page.locator("main")).to_contain_text(words)
    await expect(page.get_by_label("Turns where others have one")).to_have_value("2.5")
    await page.get_by_label("Turns where others have one").fill("0.5")
    await page.get_by_role("button", name="Limit").click()
    await expect(page.locator("#done")).to_contain_text("its weight is 0.5")
    await page.get_by_label("This one goes on for").select_option("1")
    await page.get_by_role("button", name="Rotate").click()
    second = KEY.search(await page.locator("#made").inner_text())
    assert second is not None
    assert second[0] != first[0]
    await page.get_by_role("link", name="What it may").click()
    await page.get_by_label("to go on").fill("billing")
    await page.get_by_label("Reason").last.fill("it leaked")
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.locator("#done")).to_contain_text("opens nothing more")
    await page.goto(asking.url + "audit?caller=root")
    for words in ("was made", "was rotated", "was revoked"):
        await expect(page.locator("tbody")).to_contain_text(words)
    await expect(page.locator("tbody")).to_contain_text("it leaked")
