"""Clients that keep submitting all kinds of tasks, whatever happens, and remember what they were told.

What they submit is drawn from the seed. Every other submission has an Idempotency-Key and is sent again with it
until it is answered, as a careful client does; the rest is given up when the connection breaks.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.stand.clients import Clients
from tests.stand.waiting import until
from tests.torture.installation import Installation

_THINK_SECONDS = 0.1
"""Mean pause of a client between two submissions."""
_TRY_AGAIN_SECONDS = 0.2
_BATCH = 5
_ANSWER_SECONDS = 40.0
_UNANSWERED = (httpx.NetworkError, httpx.ProtocolError)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a submission should come to, if nothing were done to the system."""

    fails: int = 0
    may_end: frozenset[str] = frozenset({"succeeded"})


class Load(Clients):
    """Submits until the block ends."""

    _deadline_seconds = 90.0

    def __init__(self, stack: Installation, seed: str, clients: int = 8, backlog: int = 1500) -> None:
        super().__init__(clients)
        self._stack = stack
        self._random = random.Random(seed)
        self._backlog = backlog
        self._number = 0
        self._accepted: dict[str, Expected] = {}
        self.ids_of_key: dict[str, set[str]] = defaultdict(set)
        self.numbers_sent: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        """Requests that got no answer."""
        self.slowest_seconds = 0.0
        self.quiet = False
        """Nothing new is submitted while it is set."""
        self.complaints: list[str] = []
        """Answers that must not be, whatever happens."""

    @property
    def accepted(self) -> dict[str, Expected]:
        """What is expected of each id that was answered 202 or 200."""
        return self._accepted

    async def last(self, seconds: float) -> None:
        """Return after so long, or sooner when a client fails: what is done to the system takes its time."""
        done, _ = await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for client in done:
            client.result()

    async def _client(self, number: int) -> None:
        url = self._stack.urls[number % len(self._stack.urls)]
        async with self._stack.client(url, _ANSWER_SECONDS) as http:
            while not self._stopping:
                await until(self._is_loud, "the quiet to end", 300)
                if len(self.accepted) - self._stack.effects.roughly() > self._backlog:
                    await until(self._has_room, "the workers to keep up", 300)
                await self._one(http)
                await asyncio.sleep(self._random.uniform(0, 2 * _THINK_SECONDS))

    async def _is_loud(self) -> bool:
        return self._stopping or not self.quiet

    async def _has_room(self) -> bool:
        return self._stopping or len(self.accepted) - self._stack.effects.roughly() < self._backlog

    async def _one(self, http: httpx.AsyncClient) -> None:
        choice = self._random.random()
        if choice < 0.02:
            items = [self._task(0.5) for _ in range(_BATCH)]
            given = [f"key-{body['tags']['number']}" for body, _ in items]
            bodies = [body | {"idempotency_key": name} for (body, _), name in zip(items, given, strict=True)]
            answer = await self._sent(http, "/v1/tasks/batch", {"tasks": bodies}, {}, again=True)
            if answer is not None and answer.status_code in (202, 207):
                for (_, expected), name, item in zip(items, given, answer.json()["results"], strict=True):
                    if item["status"] in (200, 202):
                        self._accept(item["task"]["id"], expected, name)
            return
        body, expected = self._task(choice)
        key = f"key-{body['tags']['number']}" if self._random.random() < 0.5 else None
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await self._sent(http, "/v1/tasks", body, headers, again=key is not None)
        if answer is None or answer.status_code not in (200, 202):
            return
        task_id = answer.json()["id"]
        self._accept(task_id, expected, key)
        if "cancelled" in expected.may_end:
            await self._sent(http, f"/v1/tasks/{task_id}/cancel", None, {}, again=False)

    def _accept(self, task_id: str, expected: Expected, key: str | None) -> None:
        self._accepted[task_id] = expected
        if key is not None:
            self.ids_of_key[key].add(task_id)

    def _task(self, choice: float) -> tuple[dict[str, Any], Expected]:
        self._number += 1
        drawn = self._random
        body: dict[str, Any] = {
            "task_type": "torture.effect",
            "priority": drawn.randrange(11),
            "tags": {"number": str(self._number)},
        }
        self.numbers_sent.add(str(self._number))
        if choice < 0.70:
            return body, Expected()
        if choice < 0.82:
            return body | {"args": [round(drawn.uniform(0.02, 0.4), 3)]}, Expected()
        if choice < 0.89:
            fails = drawn.randint(1, 2)
            return body | {"args": [0.0, fails, drawn.choice(["raise", "retry"])]}, Expected(fails)
        if choice < 0.94:
            return body | {"delay_seconds": round(drawn.uniform(0.3, 3.0), 2)}, Expected()
        if choice < 0.97:
            expires_at = datetime.now(UTC) + timedelta(seconds=drawn.uniform(0.5, 4.0))
            return body | {"expires_at": expires_at.isoformat()}, Expected(may_end=frozenset({"succeeded", "expired"}))
        delay = drawn.choice([None, 1.0])
        return body | {"delay_seconds": delay}, Expected(may_end=frozenset({"succeeded", "cancelled"}))

    async def _sent(
        self, http: httpx.AsyncClient, path: str, body: Any, headers: dict[str, str], again: bool
    ) -> httpx.Response | None:
        """The answer that settles a request, or None when it was given up."""
        while True:
            began = time.monotonic()
            answer = None
            try:
                answer = await http.post(path, json=body, headers=headers)
            except httpx.TimeoutException:
                self.complaints.append(f"{path} got no answer for {time.monotonic() - began:.0f} s")
            except _UNANSWERED:
                self.broken += 1
            else:
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                self._judge(path, answer)
                if answer.status_code < 500 and answer.status_code != 409:
                    return answer
            if not again or self._stopping:
                return answer
            await asyncio.sleep(_TRY_AGAIN_SECONDS)

    def _judge(self, path: str, answer: httpx.Response) -> None:
        status, text = answer.status_code, answer.text[:300]
        if (status == 409 and path.endswith("/cancel")) or (status == 422 and "lies in the past" in text):
            # Too late to be cancelled; or sent again when its ``expires_at`` had passed.
            return
        self.statuses[status] += 1
        if status in (409, 503):
            if "retry-after" not in answer.headers:
                self.complaints.append(f"{path} was refused {status} without Retry-After: {text}")
        elif status >= 400:
            self.complaints.append(f"{path} was answered {status}: {text}")
