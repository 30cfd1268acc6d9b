import re

import pytest

from pointsman_service.callers import LOCAL, Caller
from tests.browser.conftest import Visitor
from tests.browser.filling_queues import put_worker
from tests.browser.site import Site


async def ejection(site: Site, name: str) -> str:
    rows = await site.run("SELECT seen FROM breaker WHERE scope = 'worker' AND name = :name", name=name)
    return str(rows[0].seen) if rows else "closed"


async def test_a_worker_is_ejected_from_the_list_by_one_click_and_its_undo_admits_it(
    visitor: Visitor, full: Site
) -> None:
    owner = await put_worker(full, "bulk@host-7", queues=("maintenance",))
    page = visitor.page
    await page.goto(full.url + "workers")
    row = page.locator(f"[id='worker-{owner.replace('@', '%40').replace('#', '%23')}']")
    await row.get_by_role("button", name="Eject: bulk@host-7").press("Enter")
    told = await page.locator("#done").inner_text()
    assert "bulk@host-7 is taken off its queues: no reason given, in the dashboard." in told
    assert "No live worker is left on maintenance" in told
    assert "ejected" in await row.inner_text()
    assert await ejection(full, "bulk@host-7") == "forced_open"
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert "bulk@host-7 takes from its queues again." in await page.locator("#done").inner_text()
    assert await ejection(full, "bulk@host-7") == "closed"


async def test_a_worker_is_ejected_for_an_hour_with_a_reason_and_ejected_again_by_an_undo(
    plain_visitor: Visitor, full: Site
) -> None:
    await put_worker(full, "low@host-8", queues=("high_priority",))
    page = plain_visitor.page
    await page.goto(full.url + "workers/low%40host-8")
    await page.get_by_label("Reason").fill("its disk is full")
    await page.get_by_label("For").select_option("1 h")
    await page.get_by_role("button", name="Eject").click()
    shown = await page.locator("#live-worker").inner_text()
    assert "ejected" in shown
    assert "its disk is full, until" in " ".join(shown.split())
    await page.get_by_role("button", name="Admit").click()
    assert await ejection(full, "low@host-8") == "closed"
    await page.locator("#done").get_by_role("button", name="Undo").click()
    assert "low@host-8 is taken off its queues: its disk is full." in await page.locator("#done").inner_text()
    (row,) = await full.run(
        "SELECT (machine -> 'override' ->> 'expires_at')::float8 - extract(epoch FROM now())::float8 AS left"
        " FROM breaker WHERE scope = 'worker' AND name = 'low@host-8'"
    )
    assert 3000 < row.left < 3601, "as long as it was to last"
    await page.get_by_role("button", name="Admit").click()


async def test_a_silent_worker_stays_and_says_since_when_and_a_live_one_what_it_runs(
    plain_visitor: Visitor, full: Site
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "workers")
    rows = page.locator("#worker-rows tr")
    first = " ".join((await rows.first.inner_text()).split())
    assert "email@host-2" in first
    assert re.search(r"silent since \d\d:\d\d:\d\d \d+ min ago", first), first
    live = page.locator("#worker-rows tr", has=page.get_by_role("link", name="reports@host-1"))
    assert await live.locator("[data-label='last beat']").inner_text() == "on time"
    await page.get_by_role("link", name="reports@host-1").click()
    runs = page.locator(".run")
    assert "shop.ship" in await runs.first.inner_text()
    await runs.first.get_by_role("link").click()
    assert "shop.ship" in await page.locator("h1").inner_text()
    await page.locator(".facts").get_by_role("link", name="reports@host-1#1").click()
    assert "reports@host-1" in await page.locator("h1").inner_text()


async def test_who_may_only_look_gets_no_button_and_is_refused(
    plain_visitor: Visitor, full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = plain_visitor.page
    await page.goto(full.url + "queues")
    reader = Caller("reader", LOCAL.known_by, acts=frozenset(), reads_payloads=False)
    monkeypatch.setattr("pointsman_service.front.callers.LOCAL", reader)
    pause = page.get_by_role("button", name="Pause: reports")
    await pause.click()
    assert "lacks the scope queues:act" in await page.locator("main").inner_text()
    for path in ("queues", "queues/reports", "types", "types/shop.ship", "types/shop.ship/submit", "workers"):
        await page.goto(full.url + path)
        assert await page.locator("main form[method=post]").count() == 0, path
