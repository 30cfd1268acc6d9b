"""Pictures of pages: in which lights and widths, how large, and where they go."""

import base64
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Any, Final, Self

from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright, expect

from tests.browser.launching import FLAGS
from tests.pictures.small_png import QUANTISED, png
from tests.stand.environment import ROOT

_TALLEST = 1500
"""Pixels: what is below is more of the same."""
_PATIENCE = 20_000.0

_REPLACED = """
([found, shown]) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode;
    if (text.data.includes(found)) text.data = text.data.replaceAll(found, shown);
  }
}
"""


class Look(StrEnum):
    """How a page is looked at; the picture's name ends so."""

    LIGHT = ""
    DARK = "-dark"
    PHONE = "-phone"


FEW: Final = ("now", "error", "task")
"""Pages that are drawn in every look without being asked for."""
_HOW: Final[Mapping[Look, dict[str, Any]]] = {
    Look.LIGHT: {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    Look.DARK: {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    Look.PHONE: {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "is_mobile": True},
}  # fmt: skip


class Album:
    """A browser that draws pages below ``url`` into ``out``, those that are ``wanted``; an async context manager.

    ``looks`` are those of each page, where it is not only in the light, or all of those that are in ``FEW``.
    """

    def __init__(
        self, chromium: Path, url: str, out: Path, wanted: set[str], looks: Mapping[str, tuple[Look, ...]]
    ) -> None:
        self.drawn: list[Path] = []
        self._chromium = chromium
        self._url = url
        self._out = out
        self._wanted = wanted
        self._looks = looks
        self._pages: dict[Look, Page] = {}
        self._playwright: Playwright
        self._browser: Browser
        self._workshop: Page
        self._hidden = {str(ROOT): "/srv/shop", url.split("/")[2]: "127.0.0.1:8000", gethostname(): "host-1"}

    async def __aenter__(self) -> Self:
        self._playwright = await async_playwright().start()
        launch = self._playwright.chromium.launch
        self._browser = await launch(executable_path=self._chromium, args=[*FLAGS, "--font-render-hinting=none"])
        for look, how in _HOW.items():
            context: BrowserContext = await self._browser.new_context(reduced_motion="reduce", **how)
            self._pages[look] = await context.new_page()
        self._workshop = await self._browser.new_page()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._browser.close()
        await self._playwright.stop()

    async def draw(self, name: str, path: str) -> None:
        """One page, in each of its looks."""
        if name not in self._wanted:
            return
        for look in self._looks.get(name, tuple(Look) if name in FEW else (Look.LIGHT,)):
            page = self._pages[look]
            await self._visit(page, path)
            await self._save(page, self._out / f"{name}{look}.png")

    def write(self, name: str, text: str) -> None:
        """One page that is text."""
        if name in self._wanted:
            self._keep(self._out / f"{name}.txt", text.encode())

    async def link(self, path: str, label: str) -> str:
        """Where a link of a page leads, as a path below the dashboard."""
        page = self._pages[Look.LIGHT]
        await self._visit(page, path)
        found = await page.get_by_role("link", name=label).first.evaluate("link => link.href")
        return str(found).removeprefix(self._url)

    async def _visit(self, page: Page, path: str) -> None:
        await page.goto(self._url + path, wait_until="load")
        # A page that nothing keeps fresh says so itself.
        if await page.locator("#stream").count():
            await expect(page.locator("#stream-state")).to_have_attribute("data-state", "live", timeout=_PATIENCE)

    async def _hide_machine(self, page: Page) -> None:
        """What is drawn says nothing of where."""
        for found, shown in self._hidden.items():
            await page.evaluate(_REPLACED, [found, shown])

    async def _save(self, page: Page, file: Path) -> None:
        assert page.viewport_size is not None
        await self._hide_machine(page)
        width = page.viewport_size["width"]
        height = min(int(await page.evaluate("document.documentElement.scrollHeight")), _TALLEST)
        drawn = await page.screenshot(
            full_page=True, animations="disabled", caret="hide", clip={"x": 0, "y": 0, "width": width, "height": height}
        )
        small = await self._workshop.evaluate(QUANTISED, base64.b64encode(drawn).decode())
        self._keep(file, png(small["width"], small["height"], small["palette"], base64.b64decode(small["pixels"])))

    def _keep(self, file: Path, data: bytes) -> None:
        file.write_bytes(data)
        self.drawn.append(file)
