"""Who submits and acts in the demo: one client of the API, which does what each hour of the day asks for."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from pointsman_contract.backoff import backoff_seconds
from pointsman_service.embedded.demo.bank import Bank
from pointsman_service.embedded.demo.day import Moment, Turn, turns
from pointsman_service.embedded.demo.orders import (
    EXPIRES_AFTER_SECONDS,
    PRICED,
    Submission,
    next_submission,
    offers,
    statements,
)

SUMMARY_SECONDS: Final = 30.0
_LONGEST_WAIT_SECONDS: Final = 15.0
_WHO: Final = "ada"

Say = Callable[[str], None]


class Traffic:
    """A shop in the course of its days, from the moment of its making. ``per_second`` is how many tasks it submits in
    its busiest hour. The same ``rng`` makes the same day.
    """

    def __init__(self, client: httpx.Client, bank: Bank, per_second: float, rng: random.Random, say: Say) -> None:
        self._client = client
        self._bank = bank
        self._per_second = per_second
        self._rng = rng
        self._say = say
        self._prices_missing = False
        self._answers: Counter[str] = Counter()
        self._failures = 0
        self._seen = Moment(0.0)

    def single_pass(self, seconds: float) -> float:
        """What is due so many seconds after the beginning: the turns since the last pass, and one submission. Seconds
        until the next. A service that is away or refuses only slows it down.
        """
        now = Moment(seconds)
        for turn in turns(self._seen, now):
            self.take(turn)
        self._seen = now
        return self.submit_next(now)

    def submit_next(self, now: Moment) -> float:
        """Submit what comes next at this moment of the day. Seconds until the next."""
        return self._submit([next_submission(self._rng, prices_missing=self._prices_missing)], now)

    def take_summary(self) -> str:
        """What was answered since the last one."""
        counted, self._answers = self._answers, Counter()
        return ", ".join(f"{count} x {answer}" for answer, count in counted.most_common()) or "nothing"

    def take(self, turn: Turn) -> None:
        """Do what a turn of the day asks for."""
        self._say(str(turn))
        match turn:
            case Turn.PRICES_GO_MISSING:
                self._prices_missing = True
            case Turn.PRICES_ARE_BACK:
                self._prices_missing = False
            case Turn.BANK_FAILS:
                self._bank.fails = True
            case Turn.BANK_IS_BACK:
                self._bank.fails = False
            case Turn.OFFERS_GO_OUT:
                self._submit(offers(self._rng), self._seen)
            case Turn.STATEMENTS_ARE_DUE:
                self._submit(statements(self._rng), self._seen)
            case Turn.ERROR_IS_RESOLVED:
                self._resolve()

    def _submit(self, wanted: Sequence[Submission], now: Moment) -> float:
        expires = (datetime.now(UTC) + timedelta(seconds=EXPIRES_AFTER_SECONDS)).isoformat()
        tasks = [{**one, "expires_at": expires} for one in wanted]
        path, body = ("/v1/tasks", tasks[0]) if len(tasks) == 1 else ("/v1/tasks/batch", {"tasks": tasks})
        response = self._ask("POST", path, json=body)
        if response is not None and response.is_success:
            self._failures = 0
            return self._rng.expovariate(self._per_second * now.busy)
        self._failures += 1
        return wait_after(response, self._failures, self._rng)

    def _resolve(self) -> None:
        """As somebody does who has mended it."""
        found = self._ask("GET", "/v1/errors", params={"task_type": PRICED, "state": "open"})
        groups = found.json()["items"] if found is not None and found.status_code == httpx.codes.OK else []
        for group in groups:
            said = {"reason": "the partner sends prices again", "who": _WHO}
            self._ask("POST", f"/v1/errors/{group['id']}/resolve", json=said)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        response: httpx.Response | None = None
        try:
            response = self._client.request(method, path, **request)
            answer = str(response.status_code)
        except httpx.HTTPError as error:
            answer = type(error).__name__
        if (response is None or not response.is_success) and self._answers[answer] == 0:
            self._say(f"refused: {answer} {response.text[:200] if response is not None else ''}")
        self._answers[answer] += 1
        return response


def wait_for_workers(client: httpx.Client, rng: random.Random, say: Say, how: str) -> None:
    """Return once workers have published the shop's tasks. ``how`` is what to type where none does."""
    failures = 0
    while True:
        response = None
        try:
            response = client.get(f"/v1/task-types/{PRICED}")
            if response.status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        failures += 1
        if failures == 5:
            say(f"no worker offers {PRICED} yet; workers that do: {how}")
        time.sleep(min(wait_after(response, failures, rng), 2.0))


def wait_after(response: httpx.Response | None, failures: int, rng: random.Random) -> float:
    """Seconds to hold back after a refusal: what Retry-After asks for, else exponential with jitter, at most 15."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdigit():
        return min(_LONGEST_WAIT_SECONDS, float(asked) + rng.random())
    return backoff_seconds(failures, base=1.0, cap=_LONGEST_WAIT_SECONDS, jitter=0.5, draw=rng.random)
