"""What holds of every page: no barrier, nothing from elsewhere, and little of it."""

import asyncio
from typing import Literal

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
