"""Retry an ended task: it runs again as a new one that names it."""

from typing import Any
from uuid import UUID

import uuid_utils
from pydantic_core import from_json

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.callers import Caller
from pointsman_service.errors import FieldError, TaskNotFinished, TaskReplayed, TaskSucceeded, UnknownQueue, UnknownTask
from pointsman_service.operate.act import Act, ActKind, once_done
from pointsman_service.operate.once import AlreadyDone, Once, fingerprint_of
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import reading, replaying


class Retrier:
    """Retries for one API process. An ended task is run again once: after that its newest replay is."""

    def __init__(self, store: Store, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._queues = [queue.name for queue in settings.topology.queues]
        self._once = Once(store, ActKind.RETRY, settings)

    async def retry(
        self, caller: Caller, task_id: UUID, key: str | None, traceparent: str | None, reason: str | None = None
    ) -> tuple[dict[str, Any], bool]:
        """The new task's row, and whether an earlier call with this key made it.

        It is due at once, with the arguments, queue, priority, tags, time limit and budget of the old one; its
        ``expires_at`` is left out. Raises ``UnknownTask``, ``TaskNotFinished``, ``TaskSucceeded``, ``TaskReplayed``
        naming what it became, the errors of ``Once``, and those of a submission whose task type, arguments or queue
        are not known any more.
        """
        fingerprint = fingerprint_of(ActKind.RETRY, {"task": str(task_id)})
        made = await self._once.find(caller, key, fingerprint)
        if made is None:
            old = await self._ended(task_id)
            await self._check(old)
            made = str(uuid_utils.uuid7())
            try:
                act = Act(ActKind.RETRY, caller, str(task_id), reason)
                await self._replay(act, made, key, fingerprint, traceparent)
            except AlreadyDone as earlier:
                return await self._row(earlier.made), True
            async with once_done():
                return await self._row(made), False
        return await self._row(made), True

    async def _ended(self, task_id: UUID) -> dict[str, Any]:
        old = await self._row(str(task_id))
        if old["state"] == TaskState.SUCCEEDED:
            raise TaskSucceeded
        if old["state"] not in TERMINAL:
            raise TaskNotFinished(f"The task has not ended: it is {old['state']}.")
        return old

    async def _check(self, old: dict[str, Any]) -> None:
        known = await self._catalogue.find(old["task_type"])
        known.check(from_json(old["args"]), from_json(old["kwargs"]))
        if old["queue"] not in self._queues:
            raise UnknownQueue(errors=[FieldError(pointer="/queue", detail=f"there is no queue {old['queue']} now")])

    async def _replay(self, act: Act, new: str, key: str | None, fingerprint: str, traceparent: str | None) -> None:
        old = act.subject
        async with self._once.transaction(act, key, new, fingerprint) as connection:
            replayed = await replaying.replay(
                connection,
                [(old, new)],
                states=replaying.REPLAYABLE,
                queues=self._queues,
                replay_id=None,
                rate_per_second=None,
                caller=act.actor,
                traceparent=traceparent,
            )
            if replayed.tasks:
                return
            became = await replaying.replayed_as(connection, old)
            if became is None:
                # Its day was dropped meanwhile, by age.
                raise UnknownTask
            words = f"The task was run again already, as {became.task_id}: retry that one."
            if became.undone:
                words = f"The task was taken back before it started; {became.task_id} stands for it: retry that one."
            raise TaskReplayed(words, task_id=became.task_id)

    async def _row(self, task_id: str) -> dict[str, Any]:
        async with self._store.statement() as connection:
            row = await reading.task(connection, task_id)
        if row is None:
            raise UnknownTask
        return row
