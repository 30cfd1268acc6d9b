"""Cancel, or run again, all tasks that a filter finds: part by part, and on if whoever began it dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils

from pointsman_contract.counted import counted
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.names import unknown_names
from pointsman_service.callers import Caller
from pointsman_service.errors import CountDiffers, ExpectedFault, InvalidRequest, Unavailable, UnknownTaskAct
from pointsman_service.operate.act import Act, ActKind, acting, once_done
from pointsman_service.operate.once import AlreadyDone, Once, fingerprint_of
from pointsman_service.operate.walk import ActWalker
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import acts, replaying
from pointsman_service.store.tasks.acts import ActFilter, Stage, TaskAct, TaskActKind

__all__ = ["ActFilter", "ManyActor", "ManyRequest", "Progress", "Stage", "TaskAct", "TaskActKind"]

_COUNT_SECONDS = 20.0
_COUNTED_AT_ONCE = 2_000
_COUNTED = 20_000
"""Rows of a statement that counts."""
STATES_OF_MOST = 50_000
"""Of an act on more tasks nobody asks for the state of each."""
PENDING_MOST = 10_000

_ACTS = {TaskActKind.CANCEL: ActKind.CANCEL_MANY, TaskActKind.RETRY: ActKind.RETRY_MANY}


@dataclass(frozen=True, slots=True)
class ManyRequest:
    """What is to be done to which tasks."""

    kind: TaskActKind
    wanted: ActFilter
    submitted_before: datetime | None = None
    """Only what was submitted earlier; None: before now."""
    limit: int | None = None
    """The oldest so many."""
    at_most: int | None = None
    """Refused when there are more."""
    rate_per_second: float | None = None
    grace_seconds: float | None = None
    """Of a cancel: what runs is to end, too, within so long. None: it is left alone."""

    def given(self) -> dict[str, Any]:
        """What tells one request from another."""
        return self.wanted.given() | {
            "submitted_before": self.submitted_before,
            "limit": self.limit,
            "at_most": self.at_most,
            "rate_per_second": self.rate_per_second,
            "grace_seconds": self.grace_seconds,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """An act, and what has become of its tasks."""

    act: TaskAct
    pending: int
    """Of a cancel: tasks that have not ended yet; 10,000 stands for more."""
    states: dict[str, int] | None
    """Its tasks by state: those that a cancel asked an end of, or the new ones. None for very many."""


class ManyActor:
    """Acts on many tasks for one API process."""

    def __init__(self, store: Store, withdrawer: Withdrawer, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._withdrawer = withdrawer
        self._catalogue = catalogue
        self._topology = settings.topology
        self._walker = ActWalker(store, withdrawer, settings)
        self._once = {kind: Once(store, act, settings) for kind, act in _ACTS.items()}

    async def count(self, asked: ManyRequest) -> tuple[int, datetime]:
        """How many tasks ``begin`` would find, and before which moment they were submitted. Raises ``InvalidRequest``
        as it does, and ``Unavailable`` when that takes too long.
        """
        async with self._store.statement() as connection:
            before = await clock.not_later_than_now(connection, asked.submitted_before)
        found = await self._count(_new(asked, "", before, None, UUID(int=0)))
        if not found:
            await self._refuse_unknown(asked.wanted)
        return found if asked.limit is None else min(found, asked.limit), before

    async def count_some(self, asked: ManyRequest, most: int, seconds: float) -> tuple[int, bool, datetime]:
        """How many tasks ``begin`` would find, but no more than ``most`` of them and as far as is counted in so long;
        whether these are all; and before which moment they were submitted.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        found = 0
        async with self._store.statement() as connection:
            before = await clock.not_later_than_now(connection, asked.submitted_before)
            act = _new(asked, "", before, None, UUID(int=0))
            while True:
                part = await acts.part(connection, act, _COUNTED_AT_ONCE, most + 1 - found)
                found += len(part.ids)
                if found > most:
                    return most, False, before
                if part.looked_at < _COUNTED_AT_ONCE:
                    return found, True, before
                if loop.time() > deadline:
                    return found, False, before
                act = acts.further(act, part)

    async def begin(
        self, caller: Caller, asked: ManyRequest, key: str | None, reason: str | None = None
    ) -> tuple[Progress, bool]:
        """Begin an act, and whether an earlier call with this key did.

        It is stored, and then walked for three seconds at most; the sweep does the rest. What is submitted from now on
        is never touched, nor more than ``at_most``, whatever comes to fit the filter meanwhile. Raises the errors of
        ``Once``, ``CountDiffers``, and ``InvalidRequest`` when a name in the filter does not exist and nothing is
        found.
        """
        once = self._once[asked.kind]
        fingerprint = fingerprint_of(_ACTS[asked.kind], asked.given())
        made = await once.find(caller, key, fingerprint)
        if made is not None:
            return await self.find(UUID(made)), True
        asked = await self._checked(asked)
        act_id = str(uuid_utils.uuid7())
        act = Act(_ACTS[asked.kind], caller, act_id, reason)
        try:
            async with once.transaction(act, key, act_id, fingerprint) as connection:
                before = await clock.not_later_than_now(connection, asked.submitted_before)
                new = _new(asked, caller.name, before, reason, UUID(act_id))
                found = await acts.part(connection, new, _COUNTED_AT_ONCE, _COUNTED_AT_ONCE)
                wanted = len(found.ids)
                taken = wanted if new.most is None else min(wanted, new.most)
                act.was(wanted, wanted - taken, is_least=found.looked_at >= _COUNTED_AT_ONCE)
                await acts.begin(connection, new)
        except AlreadyDone as earlier:
            return await self.find(UUID(earlier.made)), True
        return await self._walked(new), False

    async def find(self, act_id: UUID, states_of_most: int = STATES_OF_MOST) -> Progress:
        """An act, and how far it is; of one on more tasks than that without their states. Raises ``UnknownTaskAct``."""
        async with self._store.statement() as connection:
            act = await acts.find(connection, act_id)
        if act is None or act.kind is TaskActKind.REPLAY:
            raise UnknownTaskAct
        return await self._progress(act, states_of_most)

    async def newest(self, below: UUID | None, most: int) -> list[TaskAct]:
        """The newest acts by a filter, or those older than the one of this id."""
        async with self._store.statement() as connection:
            return await acts.newest(connection, below, most)

    async def stop(self, caller: Caller, act_id: UUID, reason: str | None = None) -> Progress:
        """Go no further: what was done stays, and may be undone. The act afterwards. Raises ``UnknownTaskAct``."""
        found = await self.find(act_id)
        act = Act(ActKind.STOP_MANY, caller, str(act_id), reason)
        async with acting(self._store, act) as connection:
            stopped = await acts.stop(connection, found.act.id)
            act.changed = stopped is not None
            if stopped is not None:
                act.was(Stage.WALKING, Stage.DONE, tasks=stopped.tasks)
        async with once_done():
            return await self.find(act_id)

    async def undo(self, caller: Caller, act_id: UUID, reason: str | None = None) -> Progress:
        """Take back what has not started; the act afterwards. What cannot be taken back yet is later, by the sweep.

        Of a cancel, its tasks that had not started run again, each as a new one with the due time it had. Of a retry,
        its new tasks that have not started end, and what they were made from may run again. An act that is not done
        goes no further. Raises ``UnknownTaskAct``.
        """
        found = await self.find(act_id)
        await self._walker.take_back(Act(ActKind.UNDO_MANY, caller, str(act_id), reason), found.act.id)
        async with once_done():
            return await self.find(act_id)

    async def _walked(self, act: TaskAct) -> Progress:
        try:
            await self._walker.walk(act.id)
            if act.kind is TaskActKind.CANCEL:
                await self._withdrawer.end()
            return await self.find(act.id)
        except (ExpectedFault, Unavailable):
            # The act is stored, and must be said to be: the sweep does it.
            return Progress(act, 0, None)

    async def _checked(self, asked: ManyRequest) -> ManyRequest:
        """Before anything is stored: whether the names exist, and how many tasks there are where that matters. What was
        counted is what is acted on.
        """
        wanted = asked.wanted
        if await unknown_names(self._catalogue, self._topology, queue=wanted.queue, task_type=wanted.task_type):
            await self.count(asked)
        if asked.at_most is None:
            return asked
        found, before = await self.count(asked)
        if found > asked.at_most:
            raise CountDiffers(
                f"The filter finds {counted(found, 'task')}, more than {asked.at_most}; nothing was done."
            )
        most = asked.at_most if asked.limit is None else min(asked.limit, asked.at_most)
        return replace(asked, submitted_before=before, limit=most)

    async def _count(self, act: TaskAct) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _COUNT_SECONDS
        found = 0
        while True:
            async with self._store.statement() as connection:
                part = await acts.part(connection, act, _COUNTED, _COUNTED)
            found += len(part.ids)
            if part.looked_at < _COUNTED:
                return found
            if loop.time() > deadline:
                raise Unavailable("To count them took too long: narrow it, best by submitted_after.")
            act = acts.further(act, part)

    async def _refuse_unknown(self, wanted: ActFilter) -> None:
        faults = await unknown_names(self._catalogue, self._topology, queue=wanted.queue, task_type=wanted.task_type)
        if faults:
            raise InvalidRequest(errors=faults)

    async def _progress(self, act: TaskAct, states_of_most: int) -> Progress:
        cancels = act.kind is TaskActKind.CANCEL
        async with self._store.statement() as connection:
            pending = await acts.pending(connection, act.id, PENDING_MOST) if cancels else 0
            if act.tasks > states_of_most:
                return Progress(act, pending, None)
            of: Callable[..., Any] = acts.states_of_cancelled if cancels else replaying.states
            return Progress(act, pending, await of(connection, str(act.id)))


def _new(asked: ManyRequest, caller: str, before: datetime, reason: str | None, act_id: UUID) -> TaskAct:
    return TaskAct(
        id=act_id,
        kind=asked.kind,
        stage=Stage.WALKING,
        requested_at=before,
        caller=caller,
        reason=reason,
        wanted=asked.wanted.given(),
        rate_per_second=asked.rate_per_second,
        submitted_before=before,
        most=asked.limit,
        at_most=asked.at_most,
        grace_seconds=asked.grace_seconds,
        walked_to=acts.before_the_first(asked.wanted),
        looked_at=0,
        matched=0,
        tasks=0,
        last_due_at=None,
        unended=0,
        put_back=0,
    )
