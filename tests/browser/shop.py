"""A whole installation with the shop of the demo: service, worker node, and the bank that its tasks call."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from pointsman_contract.configuration import DEMO_URL
from pointsman_service.embedded.demo.bank import Bank
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.site import ROOT
from tests.stand.stack import Stack

TRIED_AGAIN_SECONDS = 5
"""An open breaker always waits so long: whoever looks has time to see it, and need not wait for its end."""


class Shop:
    """Everything runs, and nothing is wrong; an async context manager that leaves no process behind."""

    def __init__(self, database_url: str, valkey: ValkeyServer, directory: Path) -> None:
        self.bank = Bank()
        policy = f'{{"recovery_timeout": {TRIED_AGAIN_SECONDS}, "recovery_timeout_max": {TRIED_AGAIN_SECONDS}}}'
        variables = {DEMO_URL: self.bank.url, "POINTSMAN_CIRCUIT_BREAKER": policy}
        self.stack = Stack(database_url, valkey, directory, variables=variables, modules=("pointsman.shipped.demo",))
        self.url = self.stack.url + ROOT

    async def charge(self, number: int) -> list[str]:
        """Submit so many charges at once; their ids."""
        charges = (
            self.stack.submit("shop.charge", kwargs={"order": order, "price_cents": 990}, tags={"tenant": "42"})
            for order in range(1, number + 1)
        )
        return list(await asyncio.gather(*charges))

    async def __aenter__(self) -> Self:
        self.bank.__enter__()
        await self.stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stack.__aexit__(kind, error, trace)
        self.bank.__exit__(kind, error, trace)
