"""What a browser is sent for the first page that it ever asks for, and for the next one."""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from pointsman_service.dashboard.links import ROOT

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
_LINKED = re.compile(r'<(?:script|link rel="(?:icon|stylesheet)")[^>]* (?:src|href)="([^"]+)"')


@dataclass
class Loads:
    """Bytes as they travel, heads of answers included, and requests."""

    first_bytes: float = 0.0
    first_requests: float = 0.0
    other_hosts: float = 0.0
    repeat_bytes: float = 0.0
    by: str = ""
    """What asked."""


def measure(url: str) -> Loads:
    """The first page of the service at ``url``, by Debian's Chromium where it is installed; else its page and what that
    names are asked for one by one.
    """
    chromium = shutil.which("chromium", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/bin"]))
    if chromium is None:
        return _counted(url)
    return asyncio.run(_loaded(url, chromium))


@dataclass
class _Seen:
    """What one load came to, by the browser's own word."""

    hosts: set[str] = field(default_factory=set)
    requests: int = 0
    size: float = 0.0
    kept: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)
    """Of what goes on after the page is there only the requests count."""

    def watch(self, session: Any) -> None:
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.requestServedFromCache", lambda told: self.kept.add(told["requestId"]))
        session.on("Network.dataReceived", self._received)
        session.on("Network.responseReceived", self._answered)

    def _asked(self, told: Any) -> None:
        self.requests += 1
        if told["request"]["url"].partition("?")[0].endswith(f"{ROOT}/stream"):
            self.streams.add(told["requestId"])
        self.hosts.add(urlsplit(told["request"]["url"]).netloc)

    def _answered(self, told: Any) -> None:
        if told["requestId"] not in self.streams and not told["response"].get("fromDiskCache"):
            self.size += told["response"]["encodedDataLength"]

    def _received(self, told: Any) -> None:
        if told["requestId"] not in self.streams:
            self.size += told["encodedDataLength"]


async def _loaded(url: str, chromium: str) -> Loads:
    # Only here: benches that look at no page do without it.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        context = await browser.new_context()
        loads = [await _one_load(context, url) for _ in range(2)]
        version = browser.version
        await browser.close()
    first, repeat = loads
    return Loads(
        first_bytes=first.size,
        first_requests=float(first.requests - len(first.kept)),
        other_hosts=float(len(first.hosts | repeat.hosts) - 1),
        repeat_bytes=repeat.size,
        by=f"Chromium {version}",
    )


async def _one_load(context: Any, url: str) -> _Seen:
    from playwright.async_api import expect

    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    seen = _Seen()
    seen.watch(session)
    await page.goto(f"{url}{ROOT}/")
    await expect(page.locator("#stream-state")).to_have_text("live")
    await page.close()
    return seen


def _counted(url: str) -> Loads:
    packed = {"Accept-Encoding": "gzip", "Accept": "text/html"}
    with httpx.Client(trust_env=False) as http:
        where = f"{url}{ROOT}/"
        page = http.get(where, headers=packed)
        sizes = [page.num_bytes_downloaded]
        linked = {urljoin(where, one) for one in _LINKED.findall(page.text)}
        sizes += [http.get(one, headers=packed).num_bytes_downloaded for one in linked]
    hosts = {urlsplit(one).netloc for one in (where, *linked)}
    return Loads(
        first_bytes=float(sum(sizes)),
        # Its stream is one more.
        first_requests=float(len(sizes) + 1),
        other_hosts=float(len(hosts) - 1),
        repeat_bytes=float(sizes[0]),
        by="what the page names, for there is no Chromium here: its own word is missing",
    )
