"""One browser and two installations for all of these tests: an empty one, and one that has everything to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests import needs
from tests.browser.filling import fill
from tests.browser.launching import FLAGS
from tests.browser.site import Site
from tests.stand.waiting import SLOWEST

expect.set_options(timeout=SLOWEST * 5_000)

_WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`blocked: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""
"""Of each page that is looked at, also one that was left since. A browser that runs no scripts says by itself what it
blocks.
"""


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    chromium = needs.program("chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        await started.close()


@pytest.fixture(scope="session")
async def redis_of_browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ValkeyServer]:
    """A Valkey that no other test empties."""
    with ValkeyServer(tmp_path_factory.mktemp("browser") / "valkey", appendonly=False) as server:
        yield server


@asynccontextmanager
async def _site(postgres: PostgresServer, template: str, valkey: ValkeyServer, **settings: Any) -> AsyncIterator[Site]:
    async with Site(postgres.start().create_database(template=template), valkey.url, **settings) as site:
        yield site


@pytest.fixture(scope="session")
async def empty(
    postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer
) -> AsyncIterator[Site]:
    """An installation of which nothing was asked yet."""
    async with _site(postgres, migrated_template, redis_of_browser) as site:
        yield site


@pytest.fixture(scope="session")
async def full(postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer) -> AsyncIterator[Site]:
    """An installation with something to show on every page. A test that changes it changes only what is its own."""
    channel = {"name": "on-call", "kind": "webhook", "url": "https://on-call.example.org/"}
    channel |= {"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}  # type: ignore[dict-item]
    async with _site(postgres, migrated_template, redis_of_browser, alert_channels=[channel]) as site:
        await fill(site)
        yield site


class Visitor:
    """Somebody with a browser. What their pages complain of is a fault of the test's at its end."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()

    async def begin(self) -> None:
        """Open a first tab."""
        await self.context.add_init_script(_WATCH)
        self.page = await self.tab()

    async def tab(self) -> Page:
        """One more tab."""
        page = await self.context.new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        return page

    def _hear(self, kind: str, text: str) -> None:
        # A server that is away or says no, and a request that is given up with its page, are part of some tests.
        expected = text.startswith("Failed to load resource") or "Failed to fetch" in text or "network error" in text
        if kind == "error" and not expected:
            self.complaints.append(text)

    async def check(self) -> None:
        """Nothing was blocked by the content security policy, and no script failed."""
        for page in self.context.pages:
            # What it said before this has been heard then.
            await page.evaluate("0")
        assert self.complaints == []


@asynccontextmanager
async def visiting(browser: Browser, **how: Any) -> AsyncIterator[Visitor]:
    """A visitor with cookies of their own."""
    async with await browser.new_context(**how) as context:
        visitor = Visitor(context)
        await visitor.begin()
        yield visitor
        await visitor.check()


@pytest.fixture
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """Somebody with a browser of 1280 pixels."""
    async with visiting(browser, viewport={"width": 1280, "height": 800}) as visitor:
        yield visitor


@pytest.fixture
async def plain_visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """Somebody whose browser runs no scripts."""
    async with await browser.new_context(java_script_enabled=False) as context:
        visitor = Visitor(context)
        visitor.page = await visitor.tab()
        yield visitor
        await visitor.check()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return needs.stranger("node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
async def own(postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer) -> AsyncIterator[Site]:
    """An installation of this test's own, that may be broken."""
    async with _site(postgres, migrated_template, redis_of_browser) as site:
        yield site
