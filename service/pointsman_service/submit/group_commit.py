"""The group commit: whatever came in while the last commit ran is the next one. There is no timer.

A submission's future is resolved by the commit that stored it; publishing follows and is not waited for.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from pointsman_service.breaker.view import BreakerView
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.errors import PointsmanError, TooManyWaiting
from pointsman_service.fleet.serving import ServingView
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks.submitting import KEY, NewTask
from pointsman_service.submit.writer import Receipt, Writer
from pointsman_service.telemetry import start_for_all

_TURNS = 2
"""Turns of the event loop before a group is taken: in the first it reads the sockets, in the second the requests that
were in them join. Under load that makes groups nearly twice as large; idle it takes microseconds."""


class GroupCommit:
    """Commits of one API process. Submissions with a key have a lane of their own: a key may be waited for."""

    def __init__(self, store: Store, publisher: Publisher, window: OpenWindow, settings: Settings) -> None:
        self.breakers = BreakerView(store, settings)
        """Which circuit breakers hold what is submitted. Its loop must run."""
        self.serving = ServingView(store, settings)
        """Which task types the workers of a queue know. Its loop must run."""
        self._writer = Writer(store, publisher, window, self.breakers, self.serving, settings)
        self._plain = _Lane(self._writer, settings)
        self._keyed = _Lane(self._writer, settings)

    async def join(self, task: NewTask) -> Receipt:
        """Return once the commit that holds ``task`` is durable.

        Raises ``TooManyWaiting``, ``DatabaseAway``, ``OutcomeUnknown``, ``KeyInUse`` or ``InvalidRequest``; only the
        last two speak of this task alone. A caller that is cancelled takes nobody with it: its task may still be
        stored.
        """
        return await (self._plain if task.key is None else self._keyed).join(task)

    async def write_batch(self, tasks: Sequence[NewTask]) -> list[Receipt | PointsmanError]:
        """Store many tasks of one request in one commit, beside the lanes; an answer for each, in order."""
        if tasks and not any(map(KEY, tasks)):
            return await self._writer.write(tasks)
        answers: list[Receipt | PointsmanError | None] = [None] * len(tasks)
        for keyed in (False, True):
            places = [place for place, task in enumerate(tasks) if (task.key is not None) == keyed]
            written = await self._writer.write([tasks[place] for place in places]) if places else []
            for place, answer in zip(places, written, strict=True):
                answers[place] = answer
        return [answer for answer in answers if answer is not None]

    async def write_atomic(self, tasks: Sequence[NewTask]) -> list[Receipt]:
        """Store all tasks of one request in one transaction, or none. Raises what refused it."""
        return await self._writer.write_atomic(tasks)

    async def drain(self) -> None:
        """Return once nothing waits and nothing is left to publish."""
        await self._plain.drain()
        await self._keyed.drain()
        await self._writer.drain()


_Waiting = tuple[NewTask, asyncio.Future[Receipt]]


class _Lane:
    def __init__(self, writer: Writer, settings: Settings) -> None:
        self._writer = writer
        self._settings = settings
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._committing = 0
        """How many take what waits. Not ``len(_running)``: a task leaves that set a turn of the loop after its end, and
        a submission that came in between would wait for nobody."""

    async def join(self, task: NewTask) -> Receipt:
        if len(self._waiting) >= self._settings.submissions_waiting:
            raise TooManyWaiting
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((task, future))
        if self._committing < self._settings.commits_in_flight:
            self._committing += 1
            commit = start_for_all(self._commit_while_waiting())
            self._running.add(commit)
            commit.add_done_callback(self._running.discard)
        return await future

    async def drain(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    async def _commit_while_waiting(self) -> None:
        try:
            while self._waiting:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                # Empty when the other commit was quicker.
                if group := self._take():
                    await self._commit(group)
        finally:
            self._committing -= 1

    async def _commit(self, group: list[_Waiting]) -> None:
        try:
            answers = await self._writer.write([task for task, _ in group], grouped=True)
        except BaseException:
            for _, future in group:
                future.cancel()
            raise
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, PointsmanError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < self._settings.commit_rows and size < self._settings.commit_bytes:
            entry = self._waiting.popleft()
            group.append(entry)
            size += len(entry[0].args) + len(entry[0].kwargs)
        return group
