"""What submits the rows of an outbox."""

import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pointsman_client.errors import ClientError, Refused
from pointsman_client.outbox.doubts import Doubts
from pointsman_client.outbox.rows import DatabaseAway, Fate, Row, Rows, RowState, values_of
from pointsman_client.outbox.sending import Sending, pause_seconds
from pointsman_client.sync.client import Client
from pointsman_client.wire import Clock

log = logging.getLogger("pointsman_client.outbox")

_REQUESTS = 32
"""Of one pass, at most."""
_SWEPT = 1000
_SWEEP_SECONDS = 10.0
"""Between two sweeps, where the one before left nothing."""
_MOST_PAUSE_SECONDS = 60.0
"""While Pointsman or the database is away."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did, in numbers of rows."""

    sent: int = 0
    refused: int = 0
    put_off: int = 0
    """Those that wait for another try of their own."""
    has_more: bool = False
    """Whether there may be more that is due."""
    failed: ClientError | None = None
    """Why nothing more was sent: Pointsman is away, or wants this relay to come later."""


class Relay:
    """Submits what an outbox holds: each row to one task, in the order of rows, as soon as its transaction has
    committed. Any number may run at once, on any number of machines; where one dies, another sends its rows again
    after ``lease_seconds``, with their keys.

    ``batch`` rows go in a request and a pass. ``call_seconds`` are those of a request, which must be less than the
    lease. A sent row is kept for ``keep_seconds``, to be found by its key. ``key_seconds`` and ``kept_seconds`` are how
    long Pointsman remembers a key and keeps a task, at least: its ``POINTSMAN_IDEMPOTENCY_SECONDS`` and
    ``POINTSMAN_RETENTION_DAYS``.

    Raises ``ValueError`` for numbers that do not fit together.
    """

    def __init__(
        self,
        rows: Rows,
        client: Client | None = None,
        *,
        batch: int = 500,
        interval_seconds: float = 0.5,
        call_seconds: float = 30.0,
        lease_seconds: float = 90.0,
        keep_seconds: float = 86_400.0,
        key_seconds: float = 86_400.0,
        kept_seconds: float = 7 * 86_400.0,
    ) -> None:
        if not 1 <= batch <= 1000:
            raise ValueError("batch must be 1 to 1000")
        if not 0 < call_seconds < lease_seconds or lease_seconds * 10 > key_seconds:
            raise ValueError("call_seconds must be less than lease_seconds, and these less than a tenth of key_seconds")
        self._rows, self._batch, self._keep = rows, batch, max(0.0, keep_seconds)
        self._interval, self._lease, self._call = interval_seconds, lease_seconds, call_seconds
        # It has its own pauses, which do not keep rows claimed.
        self._client = (client or Client()).with_options(timeout=call_seconds, retries=0)
        self._doubts = Doubts(self._client, key_seconds, kept_seconds)
        self._stopped = threading.Event()
        self._swept, self._owes = Clock(0), False

    def stop(self) -> None:
        """End ``run()`` after the pass that is under way. For another thread, or a signal."""
        self._stopped.set()

    def run(self) -> None:
        """Passes until ``stop()``. Neither the database nor Pointsman ends it by being away."""
        failures = 0
        while not self._stopped.is_set():
            try:
                done = self.single_pass()
            except DatabaseAway as error:
                done = Pass(failed=error)
            if done.failed is None:
                if failures:
                    log.info("the outbox is relayed again")
                failures = 0
                self._stopped.wait(0 if done.has_more else self._interval)
                continue
            failures += 1
            asked = done.failed.retry_after_seconds if isinstance(done.failed, Refused) else None
            rest = pause_seconds(failures, asked, _MOST_PAUSE_SECONDS)
            log.warning("the outbox is not relayed now, again in %.1f s: %s", rest, done.failed)
            self._stopped.wait(rest)

    def single_pass(self) -> Pass:
        """Send up to ``batch`` rows that are due, and delete as many that were kept long enough. Raises
        ``DatabaseAway``; what was sent by then is sent again later, with its key.
        """
        token, now = secrets.token_hex(16), datetime.now(UTC)
        rows = self._rows.claim(token, self._batch, now, now + timedelta(seconds=self._lease))
        sending = Sending(self._client, Clock(self._lease - self._call), _REQUESTS, self._batch)
        fates = [*self._fates(rows, now, sending)]
        self._settle(token, now, fates)
        if self._swept.left <= 0 or self._owes:
            swept = self._rows.sweep(datetime.now(UTC), _SWEPT)
            self._swept, self._owes = Clock(_SWEEP_SECONDS), swept == _SWEPT
        told = Counter(fate.state for fate in fates)
        trouble = None if told[RowState.SENT] else sending.trouble
        return Pass(
            sent=told[RowState.SENT],
            refused=told[RowState.REFUSED],
            put_off=sum(fate.rest_seconds is not None for fate in fates),
            has_more=len(rows) == self._batch or self._owes,
            failed=sending.failed or trouble,
        )

    def _fates(self, rows: Sequence[Row], now: datetime, sending: Sending) -> Iterator[Fate]:
        sure: list[Row] = []
        for row in rows:
            if not self._doubts.is_old(row, now):
                sure.append(row)
                continue
            try:
                found = Fate(row, RowState.WAITING) if sending.is_over else self._doubts.fate(row, now)
            except ClientError as error:
                sending.failed = error
                found = Fate(row, RowState.WAITING)
            if found is None:
                sure.append(replace(row, doubtful_since=None))
            else:
                yield found
        yield from sending.fates(sure)

    def _settle(self, token: str, claimed_at: datetime, fates: Sequence[Fate]) -> None:
        now, gone, changed = datetime.now(UTC), [], {}
        for fate in fates:
            if fate.state is RowState.SENT and not self._keep:
                gone.append(fate.row.id)
            else:
                changed[fate.row.id] = values_of(fate, claimed_at, now, self._keep)
            if fate.state is RowState.REFUSED:
                log.warning("row %d of the outbox is refused, a task of %s: %s", *_named(fate))
        if fates:
            self._rows.settle(token, changed, gone)


def _named(fate: Fate) -> tuple[int, str, str]:
    problem = json.loads(fate.problem or "{}")
    return fate.row.id, fate.row.task_type, str(problem.get("type") or problem.get("status"))
