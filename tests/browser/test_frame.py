"""What is around every page: search, light, keys, copies; and that what is shown as text is text."""

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Visitor, visiting
from tests.browser.filling import open_alert
from tests.browser.site import Site

_HOSTILE = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>{{ 7 * 7 }}' onmouseover='x"


async def test_what_is_shown_as_text_is_text_when_it_comes_by_the_stream_too(visitor: Visitor, own: Site) -> None:
    page = visitor.page
    await page.goto(own.url)
    await expect(page.locator("#stream-state")).to_have_text("live")
    await open_alert(own, f"no_worker:{_HOSTILE}", _HOSTILE)
    await expect(page.locator("#live-causes")).to_contain_text(_HOSTILE)
    await page.goto(own.url + "alerts")
    await expect(page.locator("#live-open")).to_contain_text(_HOSTILE)
    await page.get_by_role("link", name=_HOSTILE).click()
    await expect(page.locator("#live-alert")).to_contain_text(_HOSTILE)
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("main img").count() == 0


@pytest.mark.parametrize("scripts", [True, False])
async def test_whatever_a_page_is_kept_from_is_a_complaint_of_its_visitor(
    scripts: bool, visitor: Visitor, plain_visitor: Visitor, full: Site
) -> None:
    one = visitor if scripts else plain_visitor
    await one.page.goto(full.url + "help")
    await one.page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'https://elsewhere.example/x.png'}))"
    )
    await one.page.goto(full.url + "queues")
    with pytest.raises(AssertionError, match="img-src"):
        await one.check()
    one.complaints.clear()


async def test_the_light_is_chosen_without_scripts_and_stays(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "alerts?severity=page")
    for theme in ("light", "dark", "auto"):
        await page.get_by_role("button", name=f"Change to {theme}").click()
        assert page.url == full.url + "alerts?severity=page"
        assert await page.locator("html").get_attribute("data-theme") == theme


async def test_keys_work_until_they_are_turned_off(visitor: Visitor, full: Site) -> None:
    page = visitor.page
    await page.goto(full.url + "alerts")
    await page.keyboard.press("/")
    await expect(page.locator("#find")).to_be_focused()
    await page.keyboard.type("g a ? j")
    await expect(page.locator("#find")).to_have_value("g a ? j")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("next, previous row")
    await page.get_by_role("dialog").get_by_role("button", name="Turn single keys off").click()
    await expect(page.locator("body")).to_have_attribute("data-keys", "off")
    await page.keyboard.press("?")
    await page.keyboard.press("/")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.locator("#find")).not_to_be_focused()


async def test_content_is_few_tabs_away(visitor: Visitor, full: Site) -> None:
    page = visitor.page
    await page.goto(full.url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")


async def test_a_search_finds_an_alert_by_its_id_and_its_rule(plain_visitor: Visitor, full: Site) -> None:
    page = plain_visitor.page
    (row,) = await full.run("SELECT id, summary FROM alert WHERE resolved_at IS NULL ORDER BY id LIMIT 1")
    await page.goto(full.url)
    for words, found in ((str(row.id), row.summary), ("breaker open", "breaker open")):
        await page.get_by_label("Search").fill(words)
        await page.get_by_label("Search").press("Enter")
        await expect(page.get_by_role("link", name=found, exact=True)).to_be_visible()


async def test_an_id_is_copied_on_plain_http(browser: Browser, full: Site) -> None:
    (row,) = await full.run("SELECT id FROM alert ORDER BY id LIMIT 1")
    async with visiting(browser) as visitor:
        page = visitor.page
        # As where the clipboard is kept from pages without TLS.
        await page.add_init_script("Object.defineProperty(window, 'isSecureContext', {get: () => false})")
        await page.goto(f"{full.url}alerts/{row.id}")
        await page.get_by_role("button", name="Copy").click()
        await expect(page.get_by_role("button", name="Copy")).to_have_text("copied")
        await page.locator("#find").focus()
        await page.keyboard.press("Control+V")
        await expect(page.locator("#find")).to_have_value(str(row.id))
