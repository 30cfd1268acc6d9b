"""Run dead letters again: many at once, spread over time by their due times, so that nothing has to stay alive."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils

from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.names import unknown_names
from pointsman_service.callers import Caller
from pointsman_service.errors import InvalidRequest, UnknownReplay
from pointsman_service.operate.act import Act, ActKind, once_done
from pointsman_service.operate.once import AlreadyDone, Once, fingerprint_of
from pointsman_service.operate.walk import ActWalker
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import dead_letters, replaying
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter
from pointsman_service.store.tasks.replaying import Replayed

MOST = 10_000
"""Tasks of one call: they are stored in one transaction."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which dead letters run again, and how fast."""

    wanted: DeadLetterFilter
    limit: int
    """The oldest so many."""
    rate_per_second: float | None
    """None: all are due at once."""

    def given(self) -> dict[str, Any]:
        """What tells one request from another."""
        return self.wanted.given() | {"limit": self.limit, "rate_per_second": self.rate_per_second}


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a request did, or would do."""

    replay_id: str | None
    matched: int
    """Dead letters that the filter found."""
    tasks: int
    """Those of them that run again."""
    last_due_at: datetime | None


class Replayer:
    """Replays for one API process."""

    def __init__(self, store: Store, withdrawer: Withdrawer, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._walker = ActWalker(store, withdrawer, settings)
        self._catalogue = catalogue
        self._topology = settings.topology
        self._queues = [queue.name for queue in settings.topology.queues]
        self._once = Once(store, ActKind.REPLAY, settings)

    async def count(self, asked: ReplayRequest) -> ReplayResult:
        """What ``replay`` would do now; changes nothing. Raises ``InvalidRequest`` as it does."""
        async with self._store.statement() as connection:
            matched, ids = await dead_letters.chosen(connection, asked.wanted, asked.limit)
        if not matched:
            await self._refuse_unknown(asked.wanted)
        return ReplayResult(None, matched, len(ids), None)

    async def replay(
        self, caller: Caller, asked: ReplayRequest, key: str | None, reason: str | None = None
    ) -> tuple[ReplayResult, bool]:
        """Run the oldest dead letters again, and whether an earlier call with this key did.

        All of it is one transaction. Of two calls at once each runs only what the other does not. Left out are tasks
        whose queue is not configured any more. Raises the errors of ``Once``, and ``InvalidRequest`` when nothing is
        found because a name in the filter does not exist.
        """
        fingerprint = fingerprint_of(ActKind.REPLAY, asked.given())
        made = await self._once.find(caller, key, fingerprint)
        if made is not None:
            return _result(await self.find(UUID(made))), True
        replay_id = str(uuid_utils.uuid7())
        act = Act(ActKind.REPLAY, caller, replay_id, reason)
        try:
            async with self._once.transaction(act, key, replay_id, fingerprint) as connection:
                matched, ids = await dead_letters.chosen(connection, asked.wanted, asked.limit)
                if not matched:
                    await self._refuse_unknown(asked.wanted)
                replayed = Replayed(0, None)
                if ids:
                    replayed = await replaying.replay(
                        connection,
                        [(old, str(uuid_utils.uuid7())) for old in ids],
                        states=dead_letters.STATES,
                        queues=self._queues,
                        replay_id=replay_id,
                        rate_per_second=asked.rate_per_second,
                        caller=caller.name,
                        traceparent=None,
                    )
                act.was(matched, matched - replayed.tasks, tasks=replayed.tasks)
                await replaying.keep(
                    connection,
                    replay_id,
                    caller.name,
                    asked.wanted.given(),
                    asked.rate_per_second,
                    matched,
                    replayed,
                )
        except AlreadyDone as earlier:
            return _result(await self.find(UUID(earlier.made))), True
        return ReplayResult(replay_id, matched, replayed.tasks, replayed.last_due_at), False

    async def _refuse_unknown(self, wanted: DeadLetterFilter) -> None:
        faults = await unknown_names(self._catalogue, self._topology, queue=wanted.queue, task_type=wanted.task_type)
        if faults:
            raise InvalidRequest(errors=faults)

    async def find(self, replay_id: UUID) -> dict[str, Any]:
        """A replay, with how many of its tasks are in which state. Raises ``UnknownReplay``."""
        async with self._store.statement() as connection:
            row = await replaying.find(connection, str(replay_id))
            if row is None:
                raise UnknownReplay
            return row | {"states": await replaying.states(connection, str(replay_id))}

    async def newest(self, below: UUID | None, most: int) -> list[dict[str, Any]]:
        """The newest replays, or those older than the one of this id."""
        async with self._store.statement() as connection:
            rows = await replaying.newest(connection, below, most)
            return [row | {"states": await replaying.states(connection, str(row["id"]))} for row in rows]

    async def undo(self, caller: Caller, replay_id: UUID, reason: str | None = None) -> dict[str, Any]:
        """End its tasks that have not started; what they were made from is a dead letter again, and is the one to be
        run again. The replay afterwards.

        What cannot be ended at once (Redis is away) ends later, and is given back then.
        """
        await self.find(replay_id)
        await self._walker.take_back(Act(ActKind.UNDO_REPLAY, caller, str(replay_id), reason), replay_id)
        async with once_done():
            return await self.find(replay_id)


def _result(row: dict[str, Any]) -> ReplayResult:
    return ReplayResult(str(row["id"]), row["matched"], row["tasks"], row["last_due_at"])
