"""What holds of every page: no barrier, nothing from elsewhere, and little of it."""

import asyncio

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import visiting
from tests.browser.paths import paths_of
from tests.browser.site import Site

_RUN = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
FIRST_LOAD_BYTES = 80_000
FIRST_LOAD_REQUESTS = 10
REPEAT_BYTES = 15_000


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["empty", "full"])
async def test_no_page_has_a_barrier(
    which: str, scheme: str, width: int, browser: Browser, empty: Site, full: Site, axe: str
) -> None:
    site = {"empty": empty, "full": full}[which]
    async with visiting(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as one:
        faults: list[str] = []
        for path in await paths_of(site):
            await one.page.goto(site.url + path)
            await one.page.evaluate(axe)
            found = await one.page.evaluate(_RUN)
            faults += [
                f"{path}: {fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes']][:3]}"
                for fault in found["violations"]
            ]
            wide = await one.page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                faults.append(f"{path} scrolls sideways: {wide} pixels")
        assert faults == []


async def test_nothing_comes_from_elsewhere_and_the_first_load_is_light(browser: Browser, full: Site) -> None:
    for path in await paths_of(full):
        async with visiting(browser) as one:
            sizes: list[int] = []
            waiting = []

            async def add(request: object, sizes: list[int] = sizes) -> None:
                found = await request.sizes()  # type: ignore[attr-defined]
                sizes.append(found["responseBodySize"] + found["responseHeadersSize"])

            one.page.on("requestfinished", lambda request: waiting.append(asyncio.ensure_future(add(request))))  # noqa: B023
            await one.page.goto(full.url + path, wait_until="load")
            await asyncio.gather(*waiting)
            assert one.hosts == {full.origin.partition("//")[2]}, path
            assert len(sizes) <= FIRST_LOAD_REQUESTS, path
            assert sum(sizes) <= FIRST_LOAD_BYTES, path
            sizes.clear()
            waiting.clear()
            await one.page.goto(full.url + path, wait_until="load")
            await asyncio.gather(*waiting)
            assert sum(sizes) <= REPEAT_BYTES, path
