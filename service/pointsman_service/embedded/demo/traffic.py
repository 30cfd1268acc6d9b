"""Who submits and acts in the demo: one client, which does what each hour of the day asks for."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from pointsman_client.errors import ClientError, Refused
from pointsman_client.problems import Forbidden, Unauthenticated
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

if TYPE_CHECKING:
    from pointsman_client.models import BatchItem
    from pointsman_client.sync.client import Client

SUMMARY_SECONDS: Final = 30.0
_LONGEST_WAIT_SECONDS: Final = 15.0
_WHO: Final = "ada"

Say = Callable[[str], None]


class Traffic:
    """A shop in the course of its days, from the moment of its making. ``per_second`` is how many tasks it submits in
    its busiest hour. The same ``rng`` makes the same day.
    """

    def __init__(self, client: "Client", bank: Bank, per_second: float, rng: random.Random, say: Say) -> None:
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
        expires = datetime.now(UTC) + timedelta(seconds=EXPIRES_AFTER_SECONDS)
        tasks = self._client.tasks.with_options(expires_at=expires)
        failed: ClientError | None = None
        if len(wanted) == 1:
            said = dict(wanted[0])
            task_type, arguments = said.pop("task_type"), said.pop("kwargs")
            try:
                tasks.with_options(**said).submit(task_type, **arguments)
            except ClientError as error:
                failed = error
            self._note(failed)
        else:
            for told in tasks.submit_many(cast("Sequence[BatchItem]", wanted)):
                failed = failed or told.error
                self._note(told.error)
        if failed is None:
            self._failures = 0
            return self._rng.expovariate(self._per_second * now.busy)
        self._failures += 1
        return wait_after(failed, self._failures, self._rng)

    def _resolve(self) -> None:
        """As somebody does who has mended it."""
        try:
            for group in self._client.errors.list(task_type=PRICED, state="open").items:
                self._client.errors.resolve(group.id, reason="the partner sends prices again", who=_WHO)
        except ClientError as error:
            self._note(error)

    def _note(self, error: ClientError | None) -> None:
        answer = "stored" if error is None else type(error).__name__
        if error is not None and self._answers[answer] == 0:
            self._say(f"refused: {answer}: {str(error)[:200]}")
        self._answers[answer] += 1


def wait_for_workers(client: "Client", rng: random.Random, say: Say, how: str) -> None:
    """Return once workers have published the shop's tasks. ``how`` is what to type where none does."""
    failures = 0
    while True:
        try:
            client.task_types.get(PRICED)
        except ClientError as error:
            failures += 1
            if isinstance(error, Unauthenticated | Forbidden):
                if failures == 1:
                    say(f"the API does not let the demo in: {error}")
            elif failures == 5:
                say(f"no worker offers {PRICED} yet; workers that do: {how}")
            time.sleep(min(wait_after(error, failures, rng), 2.0))
        else:
            return


def wait_after(error: ClientError, failures: int, rng: random.Random) -> float:
    """Seconds to hold back after a refusal: what it asks for, else exponential with jitter, at most 15."""
    asked = error.retry_after_seconds if isinstance(error, Refused) else None
    if asked is not None:
        return min(_LONGEST_WAIT_SECONDS, asked + rng.random())
    return backoff_seconds(failures, base=1.0, cap=_LONGEST_WAIT_SECONDS, jitter=0.5, draw=rng.random)
