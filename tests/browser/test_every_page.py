"""What holds of every page: no barrier, nothing from elsewhere, and little of it."""

import asyncio
import html
from typing import Literal

import httpx
import pytest
from playwright.async_api import Browser, Request

from tests.browser.conftest import Visitor, visiting
from tests.browser.paths import paths_of
from tests.browser.site import Site

_ALL = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
_OF_COLOURS = "{type: 'rule', values: ['color-contrast', 'link-in-text-block']}"
"""What the scheme can change: the document is the same in both."""
_RUN = """
axe.run(document, {runOnly: %s, resultTypes: ['violations']}).then((found) => found.violations.map((one) =>
  `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`))
"""
"""To tell what was found right takes several times as long as to find it."""
WIDTHS = (320, 1280)
SCHEMES: dict[Literal["light", "dark"], str] = {"light": _RUN % _ALL, "dark": _RUN % _OF_COLOURS}
FIRST_LOAD_BYTES = 80_000
FIRST_LOAD_REQUESTS = 10
REPEAT_BYTES = 15_000
NEXT = {
    "tasks": "/v1/tasks",
    "types": "./scripts/celery_workers.sh start",
    "workers": "./scripts/celery_workers.sh start",
    "breakers": "@task(dependencies=",
    "alerts": "POINTSMAN_ALERT_CHANNELS=",
    "keys": "python -m pointsman_service keys create",
}
"""What an installation of which nothing was asked yet is told to do."""
WIDEST = 3840
MOST_CHARACTERS = 130
_LONG = """most => [...document.querySelectorAll("main :is(p, li, dd, h1, h2, summary), .notice p")].map((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  const characters = range.getBoundingClientRect().width / (parseFloat(getComputedStyle(one).fontSize) / 2);
  return [Math.round(characters), one.textContent.trim()];
}).filter(([characters, text]) => characters > most && text.length > most).map((one) => one.join(": ").slice(0, 160))
"""
"""A character is half as wide as it is high, about."""


@pytest.mark.parametrize("which", ["empty", "full"])
async def test_no_page_has_a_barrier_wide_or_narrow_light_or_dark(
    which: str, visitor: Visitor, empty: Site, full: Site, axe: str
) -> None:
    site, page = {"empty": empty, "full": full}[which], visitor.page
    faults: list[str] = []
    for path in await paths_of(site):
        await page.goto(site.url + path)
        await page.evaluate(axe)
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            for scheme, run in SCHEMES.items():
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                faults += [f"{path} {width} {scheme}: {fault}" for fault in await page.evaluate(run)]
            wide = await page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                faults.append(f"{path} scrolls sideways at {width} pixels: {wide}")
    assert faults == []


async def test_no_line_is_too_long_to_read_on_the_widest_screen(visitor: Visitor, full: Site) -> None:
    page = visitor.page
    await page.set_viewport_size({"width": WIDEST, "height": 900})
    (failed,) = await full.run("SELECT id FROM task WHERE state = 'failed' ORDER BY id LIMIT 1")
    (running,) = await full.run("SELECT id FROM task_live WHERE state = 'running' ORDER BY id LIMIT 1")
    of_tasks = (f"tasks/{failed.id}", f"tasks/{failed.id}/again", f"tasks/{running.id}", f"tasks/{running.id}/share")
    faults: list[str] = []
    for path in ("", "queues", "queues/reports", "queues/set-aside/messages", "keys", "sign-in", *of_tasks):
        await page.goto(full.url + path)
        faults += [f"{path}: {fault}" for fault in await page.evaluate(_LONG, MOST_CHARACTERS)]
        assert await page.evaluate("document.documentElement.scrollWidth") == WIDEST
    assert faults == []


async def test_an_empty_page_teaches_the_next_command(empty: Site) -> None:
    async with httpx.AsyncClient(base_url=empty.url) as client:
        for path, command in NEXT.items():
            shown = (await client.get(path)).text
            assert command in html.unescape(shown.partition('class="empty"')[2]), path


async def test_nothing_comes_from_elsewhere_and_the_first_load_is_light(browser: Browser, full: Site) -> None:
    async with visiting(browser) as one:
        tools = await one.context.new_cdp_session(one.page)
        await tools.send("Network.enable")
        waiting: list[asyncio.Future[int]] = []
        one.page.on("requestfinished", lambda request: waiting.append(asyncio.ensure_future(_size(request))))

        async def load(path: str, *, anew: bool) -> list[int]:
            waiting.clear()
            await tools.send("Network.setCacheDisabled", {"cacheDisabled": anew})
            if anew:
                await one.context.clear_cookies()
            await one.page.goto(full.url + path, wait_until="load")
            return await asyncio.gather(*waiting)

        for path in await paths_of(full):
            sizes = await load(path, anew=True)
            assert one.hosts == {full.origin.partition("//")[2]}, path
            assert len(sizes) <= FIRST_LOAD_REQUESTS, path
            assert REPEAT_BYTES < sum(sizes) <= FIRST_LOAD_BYTES, path
            again = await load(path, anew=False)
            assert sum(again) <= REPEAT_BYTES, path


async def _size(request: Request) -> int:
    found = await request.sizes()
    return found["responseBodySize"] + found["responseHeadersSize"]
