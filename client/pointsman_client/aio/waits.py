"""Waiting for the end of tasks: one request for one of them, and two connections for any number at once."""

import math
import threading
from collections import defaultdict

from pointsman_client.aio.asking import Asked
from pointsman_client.aio.streams import EventStream
from pointsman_client.calling.call import EVENT_STREAM, Call, headers, segment
from pointsman_client.calling.documents import model_of
from pointsman_client.calling.events import Event
from pointsman_client.errors import ClientError, Refused, TaskStillRunning
from pointsman_client.models import Task
from pointsman_client.pausing import AsyncFlag, AsyncTurn, apause, async_to_the_end
from pointsman_client.wire import AsyncHold, Clock, LetGo, anew_in_children

ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
"""The states of a task that nothing follows."""
_WAIT_SECONDS = 20
"""That one request waits; an API that allows less says so by answering earlier."""
_ANSWER_SECONDS = 10.0
"""For an answer, beyond that."""
_LOOK_SECONDS = 30.0
"""After which a task is looked at though nothing was told of it."""
_APART_SECONDS = 2.0
"""Between two looks at all tasks, where the stream leaves some out or is not there; between two answers to one who
waits alone, where the API does not let requests wait.
"""
_LATER = (408, 425, 429)


class _Waiter:
    """One who waits for one task."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.flag = AsyncFlag()
        """Set when there is something to look at."""
        self.hold: AsyncHold | None = None
        """While it waits within a request."""
        self.trouble: ClientError | None = None
        """Why its task could not be looked at the last time."""
        self.rests = False
        """Whether it has to let some time pass before it looks again."""


class Waits:
    """All who wait for tasks through one client.

    One alone asks for its task with ``Prefer: wait``. As soon as there are more, one of them reads the stream of all
    tasks for the others, and whoever hears of its task looks at it, one after the other: so they need two connections
    together, however many they are. When the one that reads has its own task, another goes on with the same stream.
    """

    def __init__(self) -> None:
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Nobody waits: those who did are not in this process."""
        self._waiters: defaultdict[str, list[_Waiter]] = defaultdict(list)
        self._guard = threading.Lock()
        """Of the waiters; never held while anything is waited for."""
        self._line = AsyncTurn()
        """To look at a task."""
        self._reading = AsyncTurn()
        self._stream: EventStream | None = None
        self._swept = Clock(0)
        self._is_owed = False
        """Whether all have to be told once more, when some time has passed."""

    async def end_of(self, client: Asked, task_id: str, seconds: float) -> Task:
        """The task when it has ended. Raises ``TaskStillRunning`` when it has not within ``seconds``, and ``Refused``
        when it cannot be asked for.
        """
        clock, waiter, seen = Clock(seconds), _Waiter(task_id), None
        self._join(waiter)
        try:
            while True:
                found = await self._look(client, waiter, clock)
                if found is not None and found.state in ENDED:
                    return found
                seen = found or seen
                if clock.left <= 0:
                    raise TaskStillRunning(task_id, *_named(seen), seconds) from waiter.trouble
                if waiter.rests:
                    waiter.rests = False
                    await waiter.flag.taken(min(_APART_SECONDS, clock.left))
                else:
                    await self._until_told(client, waiter, clock)
        finally:
            await self._leave(waiter)

    def _join(self, waiter: _Waiter) -> None:
        with self._guard:
            self._waiters[waiter.task_id].append(waiter)
            holds = [other.hold for other in self._all() if other is not waiter]
        for hold in holds:
            if hold is not None:
                # It waits alone no longer, and its connection would be one too many.
                hold.let_go()

    async def _leave(self, waiter: _Waiter) -> None:
        with self._guard:
            self._waiters[waiter.task_id].remove(waiter)
            if not self._waiters[waiter.task_id]:
                del self._waiters[waiter.task_id]
            others = self._all()
        if not self._reading.taken_at_once():
            return
        try:
            if not others and self._stream is not None:
                with async_to_the_end():
                    await self._stream.aclose()
                self._stream = None
        finally:
            self._reading.give_back()
        if others:
            # Whoever is woken looks at its task, and then reads on.
            others[0].flag.set()

    def _all(self) -> list[_Waiter]:
        return [waiter for waiters in self._waiters.values() for waiter in waiters]

    def _is_alone(self) -> bool:
        with self._guard:
            return self._stream is None and len(self._all()) == 1

    async def _look(self, client: Asked, waiter: _Waiter, clock: Clock) -> Task | None:
        """The task as it is; None: that could not be asked now."""
        if not await self._line.taken(clock.left):
            return None
        try:
            waits = 0
            if self._is_alone():
                waiter.hold = AsyncHold()
                # Whoever comes between these two lines finds it.
                waits = min(_WAIT_SECONDS, math.ceil(clock.left)) if self._is_alone() else 0
            path = f"/v1/tasks/{segment(waiter.task_id)}"
            prefer = headers(Prefer=f"wait={waits}" if waits else None)
            call = Call("get_task", "GET", path, headers=prefer, repeatable=True)
            seconds = max(0.2, min(clock.left, waits + _ANSWER_SECONDS))
            began = Clock(min(1.0, float(waits)))
            found = model_of(Task, await client.ask(call, seconds=seconds, hold=waiter.hold))
            waiter.trouble = None
            # This API lets nobody wait, or is about to stop.
            waiter.rests = began.left > 0
            return found
        except LetGo:
            return None
        except ClientError as error:
            if isinstance(error, Refused) and error.status < 500 and error.status not in _LATER:
                raise
            waiter.trouble = error
            waiter.rests = True
            return None
        finally:
            waiter.hold = None
            self._line.give_back()

    async def _until_told(self, client: Asked, waiter: _Waiter, clock: Clock) -> None:
        """Return when there is something to look at, or the time is over."""
        if self._is_alone():
            return
        if not self._reading.taken_at_once():
            await waiter.flag.taken(min(_LOOK_SECONDS, clock.left))
            return
        try:
            await self._read(client, waiter, Clock(min(_LOOK_SECONDS, clock.left)))
        finally:
            self._reading.give_back()

    async def _read(self, client: Asked, waiter: _Waiter, until: Clock) -> None:
        """Read for everybody until there is something to look at for this one."""
        if self._stream is None:
            call = Call("stream_tasks", "GET", "/v1/tasks/events", repeatable=True, accept=EVENT_STREAM)
            self._stream = client.stream(call)
        while until.left > 0 and not await waiter.flag.taken(0):
            if self._is_owed and self._swept.left <= 0:
                self._tell_all()
                continue
            try:
                event = await self._stream.next(min(until.left, self._swept.left) if self._is_owed else until.left)
            except ClientError:
                self._is_owed = True
                await apause(min(_APART_SECONDS, until.left))
                event = None
            if event is not None:
                self._tell(event)

    def _tell(self, event: Event) -> None:
        if event.name in ("begin", "reset"):
            self._tell_all()
        if event.name != "tasks":
            return
        ended = [change["id"] for change in event.data["changes"] if change["state"] in ENDED]
        with self._guard:
            told = [waiter for task_id in ended for waiter in self._waiters.get(task_id, ())]
        for waiter in told:
            waiter.flag.set()
        self._is_owed = self._is_owed or bool(event.data["left_out"])

    def _tell_all(self) -> None:
        self._swept, self._is_owed = Clock(_APART_SECONDS), False
        with self._guard:
            told = self._all()
        for waiter in told:
            waiter.flag.set()


def _named(seen: Task | None) -> tuple[str, str]:
    return ("task", "not known to have ended") if seen is None else (seen.task_type, str(seen.state))
