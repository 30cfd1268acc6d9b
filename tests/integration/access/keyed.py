"""The API with keys: who asks is known by what they show."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from pointsman_service.access.ring import KeyRing
from pointsman_service.api.tasks.intake import Intake
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.application import Dashboard
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.mounting import mount
from pointsman_service.front.callers import KnownCallers
from pointsman_service.front.door import Door
from pointsman_service.operate.handle_keys import KeyHand, MadeKey, WantedKey
from pointsman_service.settings import Settings
from tests.integration.read.conftest import application
from tests.integration.spine import Spine


class Browser:
    """A browser without scripts. It keeps cookies itself: httpx gives back none that is only for TLS."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.cookies: dict[str, str] = {}

    async def get(self, path: str) -> httpx.Response:
        return self._kept(await self.client.get(path, headers=self._cookies()))

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of a page that was loaded before."""
        form = {"token": await self.token()} | fields
        return self._kept(await self.client.post(path, data=form, headers=self._cookies()))

    async def sign_in(self, key: str, back: str = "") -> httpx.Response:
        return await self.post(f"sign-in?back={back}", key=key)

    async def token(self) -> str:
        page = (await self.get("sign-in")).text
        found = re.search(r'name="token" value="([^"]+)"', page)
        assert found is not None, page
        return found[1]

    def _cookies(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
            if "Max-Age=0" in line:
                del self.cookies[name]
        return answer


class Keyed:
    """An installation that asks everybody for a key."""

    def __init__(self, spine: Spine, *, required: bool = True, **more: Any) -> None:
        """``more``: settings that are others than usual."""
        self.spine = spine
        read = Settings(**more)
        spine.settings = spine.settings.model_copy(update={name: getattr(read, name) for name in more})
        self.app: FastAPI = application(spine)
        self.parts = self.app.state.parts
        self.ring: KeyRing = self.parts.keys
        self.hand = KeyHand(spine.store)
        settings = Settings(allowed_hosts=("pointsman",), keys_required=required)
        self.pages = pages = Dashboard(self.parts)
        mount(self.app, pages)
        callers = KnownCallers(self.ring, settings, self.parts.tokens)
        self.door = Door(Intake(self.app, self.parts), settings, pages, callers, self.parts.refusals.count)

    async def key(self, name: str, **wanted: Any) -> MadeKey:
        """A key that opens what it may at once."""
        made = await self.hand.create(CONSOLE, WantedKey(name, **wanted), None)
        await self.ring.refresh()
        return made

    @asynccontextmanager
    async def browser(self, token: str | None = None, url: str = "http://pointsman") -> AsyncIterator["Browser"]:
        """Somebody who looks at pages behind a proxy with TLS, signed in with this key."""
        transport = httpx.ASGITransport(self.door, raise_app_exceptions=False)
        headers = {"X-Forwarded-Proto": "https", "Accept": "text/html"}
        async with httpx.AsyncClient(transport=transport, base_url=f"{url}{ROOT}/", headers=headers) as client:
            browser = Browser(client)
            if token is not None:
                answer = await browser.sign_in(token)
                assert answer.status_code == 303, answer.text
            yield browser

    @asynccontextmanager
    async def caller(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Who shows this key, or none."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.door, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pointsman", headers=headers) as client:
            yield client
