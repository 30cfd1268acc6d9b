"""Retry an ended task: it runs again as a new one that names it."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import uuid_utils
from pydantic_core import from_json

from pointsman_contract.sealing import stands_sealed
from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.submission import Submission
from pointsman_service.callers import Caller
from pointsman_service.errors import (
    FieldError,
    InvalidArguments,
    TaskNotFinished,
    TaskReplayed,
    TaskSucceeded,
    UnknownQueue,
    UnknownTask,
)
from pointsman_service.operate.act import Act, ActKind, once_done
from pointsman_service.operate.once import AlreadyDone, Once, fingerprint_of
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import reading, replaying
from pointsman_service.store.tasks.replaying import Anew
from pointsman_service.submit.submitter import encode


@dataclass(frozen=True, slots=True)
class OtherThan:
    """What the new task has otherwise than the old one; None: the same."""

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None

    def given(self) -> dict[str, Any]:
        """What is not None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def without_values(error: InvalidArguments, caller: Caller, own: Collection[str]) -> InvalidArguments:
    """What is wrong with arguments of which only ``own`` came with the call, as its caller is told it: who may not see
    payloads is told of the others that they do not fit, and not what they are.
    """
    if caller.reads_payloads:
        return error
    told = {
        fault["pointer"]: fault for fault in error.errors if fault["pointer"].split("/")[1:2] in [[one] for one in own]
    }
    for fault in error.errors:
        if fault["pointer"] not in told:
            place = fault["pointer"].split("/")[1] if fault["pointer"] else ""
            pointer = f"/{place}" if place else ""
            told[pointer] = FieldError(pointer=pointer, detail="the arguments of before do not fit any more")
    return type(error)(errors=list(told.values()))


class Retrier:
    """Retries for one API process. An ended task is run again once: after that its newest replay is."""

    def __init__(self, store: Store, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._topology = settings.topology
        self._queues = [queue.name for queue in settings.topology.queues]
        self._most_bytes = settings.body_bytes
        self._sealer = settings.sealer
        self._sealing = settings.sealing
        self._once = Once(store, ActKind.RETRY, settings)

    async def retry(
        self,
        caller: Caller,
        task_id: UUID,
        key: str | None,
        traceparent: str | None,
        reason: str | None = None,
        other: OtherThan | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """The new task's row, and whether an earlier call with this key made it.

        It is due at once, with the arguments, queue, priority, tags, time limit and budget of the old one, but for what
        is to be ``other``; its ``expires_at`` is left out. Raises ``UnknownTask``, ``TaskNotFinished``,
        ``TaskSucceeded``, ``TaskReplayed`` naming what it became, the errors of ``Once``, and those of a submission
        whose task type, arguments or queue are not known, or not any more.
        """
        other = other or OtherThan()
        fingerprint = fingerprint_of(ActKind.RETRY, {"task": str(task_id)} | other.given())
        made = await self._once.find(caller, key, fingerprint)
        if made is None:
            old = await self._ended(task_id)
            try:
                anew = await self._anew(old, other)
            except InvalidArguments as error:
                raise without_values(error, caller, other.given()) from None
            made = str(uuid_utils.uuid7())
            try:
                act = Act(ActKind.RETRY, caller, str(task_id), reason)
                act.was(old["state"], "run again", made=made)
                await self._replay(act, made, key, fingerprint, traceparent, anew)
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

    async def _anew(self, old: dict[str, Any], other: OtherThan) -> Anew:
        """What is checked and encoded as of a submission."""
        known = await self._catalogue.find(old["task_type"])
        before, before_named = self._opened(old["args"]), self._opened(old["kwargs"])
        args = before if other.args is None else other.args
        kwargs = before_named if other.kwargs is None else other.kwargs
        known.check(args, kwargs)
        name = old["queue"] if other.queue is None else other.queue
        queue = self._topology.queue(name)
        if queue is None:
            raise UnknownQueue(errors=[FieldError(pointer="/queue", detail=f"there is no queue {name} now")])
        sla_seconds = None if other.queue is None else queue.sla_seconds
        if other.args is None and other.kwargs is None:
            return Anew(queue=other.queue, sla_seconds=sla_seconds, priority=other.priority)
        # What its submission added, or its attempts found out, it still depends on.
        said = known.dependencies_of(before, before_named, [])
        added = [one for one in old["dependencies"] or () if one not in said]
        dependencies = known.dependencies_of(args, kwargs, added)
        submission = Submission(task_type=old["task_type"], args=args, kwargs=kwargs)
        encoded, encoded_named = encode(submission, self._most_bytes)
        if self._sealing is not None:
            encoded, encoded_named = self._sealing.seal_arguments(encoded, encoded_named, str(old["id"]))
        return Anew(
            args=encoded,
            kwargs=encoded_named,
            dependencies="\n".join(dependencies) if dependencies else None,
            queue=other.queue,
            sla_seconds=sla_seconds,
            priority=other.priority,
        )

    def _opened(self, text: str) -> Any:
        value = from_json(text)
        # A word within them is a text like any other, wherever its caller had it from.
        if self._sealer is None or not stands_sealed(value):
            return value
        return from_json(self._sealer.opened_json_text(text))

    async def _replay(
        self, act: Act, new: str, key: str | None, fingerprint: str, traceparent: str | None, anew: Anew
    ) -> None:
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
                anew=anew,
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
