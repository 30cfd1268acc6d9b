"""A control plane whose stages are played by hand, and a worker that is no process: what races need."""

import random
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

from pointsman_contract.queues import STEPS, list_key
from pointsman_contract.states import TERMINAL
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.store.queues import backlog
from tests.integration.spine import Spine, new_task
from tests.race.interleave import Turns, step
from tests.stand import invariants
from tests.torture import audit

QUEUE = "maintenance"
OTHER_QUEUE = "reports"
_ROUNDS = 200
ERROR = {"type": "ValueError", "message": "no", "traceback": ""}


class Sweep(Protocol):
    """One of the reconciler's."""

    async def single_pass(self) -> bool:
        """One pass."""
        ...


class World:
    """One race: its seed, its stages, and the bodies that ran."""

    def __init__(self, spine: Spine, seed: int) -> None:
        self.spine = spine
        self.random = random.Random(seed)
        self.ran: dict[str, list[int]] = {}
        """The attempts the gate let run, by task."""

    async def play(self, *actors: Coroutine[Any, Any, Any]) -> list[Any]:
        """Let the actors race; what each returned. Raises the first exception of one."""
        answers = await Turns(self.random).play(actors)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    async def submit(self, **changes: Any) -> str:
        """A stored task, published when there is room."""
        task = new_task(**({"max_attempts": 4} | changes))
        await self.spine.commits.join(task)
        await self.spine.commits.drain()
        return task.id

    async def take(self) -> dict[str, Any] | None:
        """The most urgent message of the queue."""
        for key in lists():
            message = await self.spine.message(key)
            if message is not None:
                return message
        return None

    async def work(self, message: dict[str, Any] | None, kind: str = "succeeded", **more: Any) -> str | None:
        """What a worker's child does with a message: the gate, the body, the report. The gate's word."""
        if message is None:
            return None
        token = f"{self.random.getrandbits(64):016x}"
        verdict = await self.spine.gate(message, token)
        word: str = verdict[0].decode()
        if word == "run":
            self.ran.setdefault(message["headers"]["id"], []).append(int(verdict[1]))
            await step()
            if kind == "failed":
                more = {"error": ERROR, "retry_in_seconds": 0.0} | more
            await self.spine.report(message, verdict, kind, token, **more)
        return word

    async def take_and_work(self, kind: str = "succeeded", **more: Any) -> str | None:
        """``take`` and ``work``."""
        return await self.work(await self.take(), kind, **more)

    async def settle(self) -> None:
        """Do what every process does, until every task has ended."""
        spine = self.spine
        sweeps: list[Sweep] = [
            DueSweep(spine.store, spine.settings),
            OutboxSweep(spine.store, spine.settings),
            ExpiredSweep(spine.store, spine.server, spine.settings),
            CancelledSweep(spine.store, spine.server, spine.settings),
        ]
        async with spine.recording():
            for _ in range(_ROUNDS):
                if not await spine.rows("SELECT 1 AS one FROM task_live UNION ALL SELECT 1 FROM outbox LIMIT 1"):
                    break
                for sweep in sweeps:
                    await sweep.single_pass()
                await spine.dispatcher.single_pass()
                while (message := await self.take()) is not None:
                    await self.work(message)
            else:
                left = await spine.rows("SELECT id, state, place, attempt FROM task_live")
                raise AssertionError(f"tasks do not end: {left[:5]}")
        await spine.record_all()

    async def check(self) -> dict[str, str]:
        """What must hold after every race, and the state of every task."""
        spine = self.spine
        async with spine.store.statement() as connection:
            moves = await audit.violations(connection)
        assert not moves, moves
        async with spine.store.transaction() as connection:
            assert await backlog.mend(connection) == []
        rows = await spine.rows("SELECT id::text, state, attempt FROM task")
        states = {row["id"]: row["state"] for row in rows}
        assert len(states) == len(rows)
        assert set(states.values()) <= set(map(str, TERMINAL))
        for row in rows:
            attempts = self.ran.get(row["id"], [])
            assert len(set(attempts)) == len(attempts), f"{row} ran as {attempts}"
            assert max(attempts, default=0) <= row["attempt"], f"{row} ran as {attempts}"
            if row["state"] == "succeeded":
                assert attempts, f"{row} succeeded and never ran"
        in_rows = await invariants.in_rows(spine)
        counted = await spine.counters()
        assert {name: counted.get(name, 0) for name in in_rows} == in_rows
        return states


def lists() -> Iterator[str]:
    """The lists of the queue, and of the one that tasks are moved to, the most urgent first."""
    return (list_key(queue, number) for queue in (QUEUE, OTHER_QUEUE) for number in STEPS)
