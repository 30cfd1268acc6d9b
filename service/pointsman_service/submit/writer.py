"""One commit of submissions: reserve the window, write, find out what became of it, publish."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointsman_contract.failpoints import Failpoint, reach
from pointsman_service.breaker.view import BreakerView
from pointsman_service.broker import Envelope
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.errors import (
    DatabaseAway,
    DatabaseDiffers,
    ExpectedFault,
    InvalidRequest,
    KeyInUse,
    KeyReused,
    OutcomeUnknown,
    PointsmanError,
)
from pointsman_service.fleet.serving import ServingView
from pointsman_service.settings import Settings
from pointsman_service.store.store import (
    Connection,
    ConnectionLost,
    DatabaseTrouble,
    LimitMet,
    LockNotGot,
    RowRefused,
    StatementRefused,
    Store,
)
from pointsman_service.store.tasks import submitting
from pointsman_service.store.tasks.submitting import NewTask, Stored
from pointsman_service.telemetry import logger, start_for_all

log = logger(__name__)

_FLUSH_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 0.1
_KEY_MILLISECONDS = 50
"""For a key that was waited for already."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one submission, or of several that were stored together."""

    submitted_at: datetime
    accepted: bool
    """False: its Idempotency-Key was taken; nothing was stored."""


class Writer:
    """One commit: reserve the window, write, find out what became of it, publish. Never raises for a group."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        window: OpenWindow,
        breakers: BreakerView,
        serving: ServingView,
        settings: Settings,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._window = window
        self._breakers = breakers
        self._serving = serving
        self._settings = settings
        self._published: list[int] = []
        self._publishing: set[asyncio.Task[None]] = set()
        self._flush_timer: asyncio.TimerHandle | None = None

    async def write(
        self, tasks: Sequence[NewTask], *, grouped: bool = False, waited: bool = False
    ) -> list[Receipt | PointsmanError]:
        """Store all tasks, or say of each why not. All have a key, or none has; ``waited``: long enough for a key.
        ``grouped``: one of the commits that follow each other, of which each is to be short.
        """
        self._reserve(tasks)
        published, self._published = self._published, []
        try:
            return self._receipts(tasks, await self._store_once(tasks, published, grouped=grouped, waited=waited))
        except (RowRefused, LockNotGot) as error:
            self._published += published
            return await self._apart(tasks, error, waited=waited or isinstance(error, LockNotGot))
        except ConnectionLost:
            return await self._look_up(tasks)
        except DatabaseAway as error:
            self._published += published
            return [error] * len(tasks)
        except DatabaseTrouble as error:
            self._published += published
            log.warning("the database refuses submissions", reason=str(error), tasks=len(tasks))
            return [DatabaseAway(f"The database cannot store this now ({error}); nothing was stored.")] * len(tasks)
        except StatementRefused as error:
            self._published += published
            log.exception("the database does not know what a submission needs", reason=str(error), tasks=len(tasks))
            return [DatabaseDiffers()] * len(tasks)
        except Exception:
            # A fault of ours must answer its callers, not leave them waiting. It may have struck after the commit.
            log.exception("a group commit failed", tasks=len(tasks))
            return [PointsmanError()] * len(tasks)

    async def write_atomic(self, tasks: Sequence[NewTask]) -> list[Receipt]:
        """One transaction for tasks with and without keys. Raises ``PointsmanError``: nothing was stored, unless it is
        ``OutcomeUnknown``.
        """
        self._reserve(tasks)
        receipts: dict[str, Receipt | PointsmanError] = {}
        try:
            done = []
            async with self._store.transaction() as connection:
                for keyed in (False, True):
                    part = [task for task in tasks if (task.key is not None) == keyed]
                    if part:
                        remembered = self._settings.idempotency_seconds
                        stored = await submitting.store(connection, part, [], remembered)
                        await _refuse_reused_keys(connection, part, stored, remembered)
                        done.append((part, stored))
            for part, stored in done:
                receipts |= zip((task.id for task in part), self._receipts(part, stored), strict=True)
        except ConnectionLost:
            receipts |= zip((task.id for task in tasks), await self._look_up(tasks), strict=True)
        except RowRefused as error:
            log.warning("the database refused an atomic batch", reason=str(error))
            raise _refusal(error, "batch") from error
        except StatementRefused as error:
            log.exception("the database does not know what a submission needs", reason=str(error), tasks=len(tasks))
            raise DatabaseDiffers from error
        except LockNotGot as error:
            raise KeyInUse(retry_after_seconds=1) from error
        except DatabaseTrouble as error:
            raise DatabaseAway(f"The database cannot store this now ({error}); nothing was stored.") from error
        answers = []
        for task in tasks:
            receipt = receipts[task.id]
            if isinstance(receipt, PointsmanError):
                raise receipt
            answers.append(receipt)
        return answers

    def _reserve(self, tasks: Sequence[NewTask]) -> None:
        self._breakers.asked = True
        for task in tasks:
            asleep = later = task.scheduled_at is not None or bool(task.delay_seconds)
            if self._breakers.blocking and self._breakers.of_task(task.task_type, task.depends_on()) is not None:
                # The dispatcher holds it.
                later = True
            elif self._serving.types.is_unserved(task.queue, task.task_type):
                later = True
            task.sent_epoch = None if later else self._window.reserve(task.queue)
            # Also of one that is written again, because its group was refused.
            task.alone = (
                task.sent_epoch is None
                and not asleep
                and not task.is_counted
                and self._window.waits_alone(task.queue, task.caller, task.fairness_key)
            )

    async def drain(self) -> None:
        """Return once everything committed has been offered to the broker."""
        while self._publishing:
            await asyncio.wait(self._publishing)
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        await self._flush()

    async def _store_once(
        self, tasks: Sequence[NewTask], published: list[int], *, grouped: bool, waited: bool
    ) -> Stored:
        remembered = self._settings.idempotency_seconds
        reach(Failpoint.API_COMMITTING)
        if waited:
            async with self._store.transaction() as connection:
                await submitting.wait_no_longer(connection, _KEY_MILLISECONDS)
                stored = await submitting.store(connection, tasks, published, remembered)
        else:
            # A large batch would keep the few connections of the second pool from who waits for one task.
            async with self._store.planned_once() if grouped else self._store.statement() as connection:
                stored = await submitting.store(connection, tasks, published, remembered)
        reach(Failpoint.API_COMMITTED)
        return stored

    def _receipts(self, tasks: Sequence[NewTask], stored: Stored) -> list[Receipt | PointsmanError]:
        done, taken = Receipt(stored.submitted_at, True), stored.accepted
        sent = [task for task in tasks if task.sent_epoch is not None and (taken is None or task.id in taken)]
        if sent:
            publishing = start_for_all(self._publish(sent, stored.outbox_ids))
            self._publishing.add(publishing)
            publishing.add_done_callback(self._publishing.discard)
        if taken is None:
            return [done] * len(tasks)
        return [done if task.id in taken else Receipt(stored.submitted_at, False) for task in tasks]

    async def _apart(
        self, tasks: Sequence[NewTask], error: RowRefused | LockNotGot, *, waited: bool
    ) -> list[Receipt | PointsmanError]:
        """The group was refused for one of its rows: halve it until that row stands alone.

        Somebody's key was waited for once; its neighbours must not wait for it again at every halving.
        """
        if len(tasks) > 1:
            middle = len(tasks) // 2
            halves = tasks[:middle], tasks[middle:]
            return [answer for half in halves for answer in await self.write(half, waited=waited)]
        if isinstance(error, LockNotGot):
            return [KeyInUse(retry_after_seconds=1)]
        log.warning("the database refused a submission", reason=str(error), task_type=tasks[0].task_type)
        return [_refusal(error, "submission")]

    async def _look_up(self, tasks: Sequence[NewTask]) -> list[Receipt | PointsmanError]:
        """The connection broke during the commit: ask on new ones what was stored."""
        ids = [task.id for task in tasks]
        deadline = asyncio.get_running_loop().time() + self._settings.unknown_outcome_seconds
        found: dict[str, datetime] = {}
        while not found and asyncio.get_running_loop().time() < deadline:
            try:
                async with self._store.statement() as connection:
                    found = await submitting.find_ids(connection, ids)
            except (DatabaseAway, ExpectedFault) as error:
                log.info("asking what the broken commit stored", reason=f"{type(error).__name__}: {error}")
            except Exception:
                # The callers are owed an answer, and asking again would end as this did.
                log.exception("it cannot be asked what the broken commit stored", tasks=len(tasks))
                break
            if not found:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        log.warning("a commit's connection broke", tasks=len(tasks), stored=len(found))
        # What was stored is published from its outbox row.
        return [
            Receipt(found[task.id], True) if task.id in found else OutcomeUnknown(task_id=task.id) for task in tasks
        ]

    async def _publish(self, tasks: list[NewTask], outbox_ids: list[int]) -> None:
        by_epoch: dict[int, list[Envelope]] = {}
        for task in tasks:
            assert task.sent_epoch is not None
            by_epoch.setdefault(task.sent_epoch, []).append(envelope_of(task))
        done = [await self._publisher.publish(envelopes, epoch) for epoch, envelopes in by_epoch.items()]
        if not all(done):
            self._window.shut()
            return
        reach(Failpoint.API_PUBLISHED)
        self._published += outbox_ids
        if self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(_FLUSH_SECONDS, self._start_flush)

    def _start_flush(self) -> None:
        self._flush_timer = None
        flushing = start_for_all(self._flush())
        self._publishing.add(flushing)
        flushing.add_done_callback(self._publishing.discard)

    async def _flush(self) -> None:
        """Drop outbox rows that no later commit took along. One left behind only costs a second look."""
        published, self._published = self._published, []
        if not published:
            return
        try:
            async with self._store.statement() as connection:
                await submitting.drop_published(connection, published)
        except (DatabaseAway, ConnectionLost, DatabaseTrouble, LockNotGot) as error:
            log.info("outbox rows stay for the reconciler", rows=len(published), reason=str(error))


def _refusal(error: RowRefused, what: str) -> PointsmanError:
    if isinstance(error, LimitMet):
        return PointsmanError(
            f"The database cannot hold a value of this {what}: it was logged, and nothing was stored."
        )
    return InvalidRequest(f"The database refused a value of this {what}; nothing was stored.")


async def _refuse_reused_keys(
    connection: Connection, tasks: Sequence[NewTask], stored: Stored, remembered: float
) -> None:
    """Raises ``KeyReused`` when a key that is taken stands for another body."""
    taken = [task for task in tasks if stored.accepted is not None and task.id not in stored.accepted]
    if not taken:
        return
    found = await submitting.find_keys(connection, [(task.caller, task.key or "") for task in taken], remembered)
    for task in taken:
        first, fingerprint = found.get((task.caller, task.key or ""), (None, task.fingerprint))
        if fingerprint not in task.fingerprints():
            raise KeyReused(
                f"The Idempotency-Key {task.key} was used with another body, for the task {first}.", task_id=first
            )


def envelope_of(task: NewTask) -> Envelope:
    """The first sending of a new task."""
    return Envelope(
        task_id=task.id,
        task_type=task.task_type,
        queue=task.queue,
        priority=task.priority,
        args=task.args,
        kwargs=task.kwargs,
        timeout_seconds=task.timeout_seconds,
        dispatch=1,
        after=0,
        max_attempts=task.max_attempts,
        expires_at=None if task.expires_at is None else task.expires_at.timestamp(),
        traceparent=task.traceparent,
        dependencies=task.depends_on() if task.dependencies else (),
    )
