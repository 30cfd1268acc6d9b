"""Clients that keep submitting, whatever happens to the service, and remember every answer."""

import itertools
from collections import Counter

import httpx

from tests.stand.clients import Clients
from tests.stand.stack import GONE, Stack
from tests.stand.waiting import until


class Load(Clients):
    """Submits ``ledger.write`` from many clients at once until the block ends.

    Every other submission has an Idempotency-Key and is sent again with it until it is answered, as a careful client
    does; the rest is given up when the connection breaks.
    """

    def __init__(self, stack: Stack, clients: int = 24) -> None:
        super().__init__(clients)
        self._stack = stack
        self._numbers = itertools.count()
        self._accepted: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        """Requests that got no answer."""
        self.pending = 0
        """Requests on their way now."""

    @property
    def accepted(self) -> set[str]:
        """Ids answered 202, or 200 as the task of a key."""
        return self._accepted

    async def _client(self, number: int) -> None:
        async with self._stack.client() as http:
            while not self._stopping:
                number = next(self._numbers)
                key = f"load-{number}" if number % 2 else None
                while not await self._submit(http, number, key):
                    if self._stopping:
                        return
                    await until(self._may_go_on, "the API to be back")
                    if key is None:
                        break

    async def _submit(self, http: httpx.AsyncClient, number: int, key: str | None) -> bool:
        body = {"task_type": "ledger.write", "args": [number], "priority": number % 11}
        self.pending += 1
        try:
            headers = {} if key is None else {"Idempotency-Key": key}
            answer = await http.post("/v1/tasks", json=body, headers=headers)
        except httpx.TimeoutException as error:
            raise AssertionError(f"submission {number} with key {key} got no answer") from error
        except GONE:
            self.broken += 1
            return False
        finally:
            self.pending -= 1
        self.statuses[answer.status_code] += 1
        if answer.status_code in (200, 202):
            self._accepted.add(answer.json()["id"])
        return True

    async def _may_go_on(self) -> bool:
        return self._stopping or await self._stack.answers()
