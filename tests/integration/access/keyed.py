"""The API with keys: who asks is known by what they show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from pointsman_service.access.ring import KeyRing
from pointsman_service.api.tasks.intake import Intake
from pointsman_service.callers import CONSOLE
from pointsman_service.front.callers import KnownCallers
from pointsman_service.front.door import Door
from pointsman_service.operate.handle_keys import KeyHand, MadeKey, WantedKey
from pointsman_service.settings import Settings
from tests.integration.read.conftest import application
from tests.integration.spine import Spine


class Keyed:
    """An installation that asks everybody for a key."""

    def __init__(self, spine: Spine, *, required: bool = True) -> None:
        self.spine = spine
        self.app: FastAPI = application(spine)
        self.parts = self.app.state.parts
        self.ring: KeyRing = self.parts.keys
        self.hand = KeyHand(spine.store)
        settings = Settings(allowed_hosts=("pointsman",), keys_required=required)
        self.door = Door(Intake(self.app, self.parts), settings, None, KnownCallers(self.ring, settings))

    async def key(self, name: str, **wanted: Any) -> MadeKey:
        """A key that opens what it may at once."""
        made = await self.hand.create(CONSOLE, WantedKey(name, **wanted), None)
        await self.ring.refresh()
        return made

    @asynccontextmanager
    async def caller(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Who shows this key, or none."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.door, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pointsman", headers=headers) as client:
            yield client
