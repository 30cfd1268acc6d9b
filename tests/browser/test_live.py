"""What stays fresh while somebody looks, and what says that it does not."""

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from pointsman_service.embedded.ports import HOST
from pointsman_service.embedded.postgres import USER, PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.conftest import Visitor, visiting
from tests.browser.filling import open_alert
from tests.browser.site import Site
from tests.stand.waiting import SLOWEST, until
from tests.torture.proxy import Proxy

_STALE_SECONDS = 10
_HIDE = """hidden => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def live(page: Page, url: str) -> None:
    """Go there, and wait until it is live."""
    await page.goto(url)
    await expect(page.locator("#stream-state")).to_have_text("live")


def milliseconds(seconds: float) -> float:
    return SLOWEST * seconds * 1000


async def test_what_begins_is_shown_and_said_without_a_reload(visitor: Visitor, own: Site) -> None:
    page = visitor.page
    await live(page, own.url + "alerts")
    await expect(page.locator("#live-open")).to_contain_text("No alert is open.")
    await open_alert(own, "no_worker:email", "email has no live worker.")

    await expect(page.locator("#live-open")).to_contain_text("email has no live worker.")
    await expect(page.locator("#announced")).to_have_text("1 alert is open.")
    await expect(page).to_have_title("1 open · Alerts · Pointsman")
    foot = re.compile(r"recorded up to .+as of \d\d:\d\d:\d\d UTC\s+all times are UTC\s+live")
    await expect(page.get_by_role("contentinfo")).to_have_text(foot)
    # A form that came by the stream works as one that came with the page.
    await page.get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#done")).to_contain_text("Acknowledged by local")


async def test_rows_do_not_move_under_the_mouse_and_new_ones_are_asked_for(visitor: Visitor, own: Site) -> None:
    page = visitor.page
    first = await open_alert(own, "no_worker:email", "email has no live worker.")
    await live(page, own.url + "alerts")
    row = page.locator(f"#alert-{first}")
    await row.hover()
    before = await row.bounding_box()
    await open_alert(own, "no_worker:reports", "reports has no live worker.", severity="page")

    await expect(page.locator("#held")).to_have_text("1 new: show")
    assert await row.bounding_box() == before
    await expect(page.locator("#live-open")).not_to_contain_text("reports has no live worker.")
    await page.locator("#held").click()
    await expect(page.locator("#live-open")).to_contain_text("reports has no live worker.")
    await expect(page.locator("#held")).to_be_hidden()


async def test_what_has_the_focus_keeps_it_and_an_act_that_takes_its_place_does_not(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.page
    email = await open_alert(own, "no_worker:email", "email has no live worker.")
    await live(page, own.url + "alerts")
    await page.keyboard.press("j")
    link = page.get_by_role("link", name="email has no live worker.")
    await expect(link).to_be_focused()
    await own.run("UPDATE alert SET also = '{backlog_old:email}' WHERE id = :id", id=email)
    await expect(page.locator("#open-rows")).to_contain_text("It led to 1 more alert.")
    await expect(link).to_be_focused()

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Acknowledge: email")).to_be_focused()
    await own.run("UPDATE alert SET acked_at = now(), acked_by = 'ops', ack_reason = 'I call' WHERE id = :id", id=email)
    await expect(page.locator("#open-rows")).to_contain_text("ops: I call")
    # Where it was is "Silence 1 h" now.
    await expect(page.locator("#live-open")).to_be_focused()
    await page.keyboard.press("Enter")
    await own.run("UPDATE alert SET also = '{}' WHERE id = :id", id=email)
    await expect(page.locator("#open-rows")).not_to_contain_text("It led to")
    await expect(page.locator("#live-open")).to_be_focused()
    assert await own.run("SELECT 1 FROM alert_silence") == []
    await page.keyboard.press("j")
    await expect(link).to_be_focused()


async def test_a_page_says_that_the_server_is_lost_and_is_right_again_after_its_return(
    browser: Browser, own: Site
) -> None:
    gone = await open_alert(own, "no_worker:email", "email has no live worker.")
    async with visiting(browser) as one, visiting(browser) as fresh:
        await live(one.page, own.url + "alerts")
        await own.stop()
        await expect(one.page.locator("#stale")).to_be_visible(timeout=milliseconds(_STALE_SECONDS))
        await expect(one.page.locator("#stale")).to_contain_text("as of")
        assert await one.page.evaluate("document.body.classList.contains('stale')")
        await own.run("UPDATE alert SET resolved_at = now() WHERE id = :id", id=gone)
        await open_alert(own, "no_worker:reports", "reports has no live worker.")
        await own.start()
        await expect(one.page.locator("#stream-state")).to_have_text("live")
        await expect(one.page.locator("#stale")).to_be_hidden()
        await expect(one.page.locator("#live-open")).to_contain_text("reports has no live worker.")
        await live(fresh.page, own.url + "alerts")
        for part in ("#live-open tbody", "#live-told"):
            assert await texts(one.page, part) == await texts(fresh.page, part)


async def texts(page: Page, selector: str) -> str:
    """What stands there, but for times that go on."""
    found: Any = await page.locator(selector).evaluate(
        "e => { const c = e.cloneNode(true); c.querySelectorAll('[data-ago]').forEach(t => t.remove());"
        " return c.textContent.replace(/\\s+/g, ' ').trim(); }"
    )
    assert isinstance(found, str)
    return found


async def test_without_postgresql_a_page_says_so_and_what_it_shows_is_grey(visitor: Visitor, own: Site) -> None:
    page = visitor.page
    await live(page, own.url + "alerts")
    async with own.database_refusing():
        await expect(page.locator("#stale")).to_be_visible(timeout=milliseconds(_STALE_SECONDS))
        await expect(page.locator("#stale")).to_contain_text("database")
        answer = await page.goto(own.url + "alerts")
        assert answer is not None
        assert answer.status == 503
        await expect(page.locator("main")).to_contain_text("PostgreSQL is away")
        await page.goto(own.url)
        await expect(page.locator("#banner")).to_contain_text("PostgreSQL does not answer")
        await page.goto(own.url + "alerts")
    # It comes back by itself.
    await expect(page.locator("#live-open")).to_be_visible(timeout=milliseconds(_STALE_SECONDS))


async def test_pages_are_right_again_soon_after_postgresql_has_hung(
    browser: Browser, postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer
) -> None:
    database = postgres.start().create_database(template=migrated_template)
    name = urlsplit(database).path.removeprefix("/")
    with Proxy.to_socket(postgres.socket_dir / ".s.PGSQL.5432") as proxy:
        url = f"postgresql+asyncpg://{USER}@{HOST}:{proxy.port}/{name}"
        async with (
            Site(url, redis_of_browser.url, database_timeout_seconds=2.0) as site,
            visiting(browser) as one,
            visiting(browser) as other,
        ):
            await live(one.page, site.url)
            await live(other.page, site.url + "queues")
            proxy.freeze()
            await expect(other.page.locator("#stale")).to_be_visible(timeout=milliseconds(_STALE_SECONDS))
            # The first page goes on, and says of what it shows that it is old.
            await expect(one.page.locator("#banner")).to_contain_text("PostgreSQL does not answer")
            await expect(one.page.locator("#live-queues")).to_have_class("old")
            await expect(one.page.locator("#stale")).to_be_hidden()
            proxy.go_on()
            # Nothing has changed, so nothing but its return is a reason to look.
            for page in (one.page, other.page):
                await expect(page.locator("#stale")).to_be_hidden(timeout=milliseconds(_STALE_SECONDS))
                await expect(page.locator("#stream-state")).to_have_text("live")
                await expect(page.locator("#banner")).to_be_empty(timeout=milliseconds(_STALE_SECONDS))
            await expect(one.page.locator("#live-queues")).not_to_have_class("old")


async def test_a_hidden_tab_frees_its_connection_and_goes_on_when_seen(visitor: Visitor, own: Site) -> None:
    page = visitor.page
    await live(page, own.url + "alerts")
    assert own.dashboard.streams.listeners == 1
    await page.evaluate(_HIDE, True)

    async def nobody() -> bool:
        return bool(own.dashboard.streams.listeners == 0)

    await until(nobody, "the stream to end", SLOWEST * 1)
    await open_alert(own, "no_worker:email", "email has no live worker.")
    await page.evaluate(_HIDE, False)
    await expect(page.locator("#live-open")).to_contain_text("email has no live worker.")


async def test_eight_tabs_of_one_browser_load_and_share_one_look(visitor: Visitor, own: Site) -> None:
    await open_alert(own, "no_worker:email", "email has no live worker.")
    pages = [visitor.page, *[await visitor.tab() for _ in range(7)]]
    for page in pages:
        await page.goto(own.url + "alerts")
    for page in pages:
        await expect(page.locator("#stream-state")).to_have_text("live" if page in pages[:4] else "every 5 s")
    streams = own.dashboard.streams
    assert (streams.listeners, len(streams.rooms)) == (4, 1)
    await open_alert(own, "no_worker:reports", "reports has no live worker.")
    for page in pages:
        await expect(page.locator("#live-open")).to_contain_text("reports has no live worker.")


async def test_nothing_is_sent_again_that_has_not_changed(visitor: Visitor, own: Site) -> None:
    swaps = "window.swaps = 0; document.addEventListener('htmx:after:swap', () => window.swaps++)"
    await visitor.page.add_init_script(swaps)
    await live(visitor.page, own.url)
    (room,) = own.dashboard.streams.rooms
    for _ in range(2):
        seen = room.looked
        # It is told that something changed, and nothing has.
        await own.run("DELETE FROM live_change WHERE false")

        async def looked_again(seen: int = seen) -> bool:
            return bool(room.looked > seen)

        await until(looked_again, "one more look")
    assert await visitor.page.evaluate("window.swaps") == 0
