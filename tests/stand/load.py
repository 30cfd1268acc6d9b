"""Clients that keep submitting, whatever happens to the service, and remember every answer."""

import itertools
from collections import Counter

import httpx

from pointsman_client import AsyncClient
from tests.stand.clients import Clients
from tests.stand.stack import GONE, Stack
from tests.stand.waiting import DEADLINE_SECONDS, until


class Load(Clients):
    """Submits ``ledger.write`` from many clients at once until the block ends.

    Every other submission goes through our client, which sends it again with its Idempotency-Key until it is answered;
    the rest is given up when the connection breaks, as by callers who have no better one.
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
        async with self._stack.client() as http, AsyncClient(self._stack.url, timeout=DEADLINE_SECONDS) as client:
            while not self._stopping:
                number = next(self._numbers)
                self.pending += 1
                try:
                    is_answered = await (self._submit(client, number) if number % 2 else self._post(http, number))
                finally:
                    self.pending -= 1
                if not is_answered and not self._stopping:
                    await until(self._may_go_on, "the API to be back")

    async def _submit(self, client: AsyncClient, number: int) -> bool:
        said = client.tasks.with_options(idempotency_key=f"load-{number}", priority=number % 11)
        task = (await said.submit("ledger.write", number)).task
        assert task is not None
        assert task.answer is not None
        self.statuses[task.answer.status] += 1
        self._accepted.add(task.id)
        return True

    async def _post(self, http: httpx.AsyncClient, number: int) -> bool:
        body = {"task_type": "ledger.write", "args": [number], "priority": number % 11}
        try:
            answer = await http.post("/v1/tasks", json=body)
        except httpx.TimeoutException as error:
            raise AssertionError(f"submission {number} got no answer") from error
        except GONE:
            self.broken += 1
            return False
        self.statuses[answer.status_code] += 1
        if answer.status_code in (200, 202):
            self._accepted.add(answer.json()["id"])
        return True

    async def _may_go_on(self) -> bool:
        return self._stopping or await self._stack.answers()
