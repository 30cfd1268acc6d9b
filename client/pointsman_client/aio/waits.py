"""Waiting for the end of tasks: one request for one of them, and two connections for any number at once."""

import math
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pointsman_client.aio.asking import Asked
from pointsman_client.aio.streams import EventStream
from pointsman_client.calling.call import EVENT_STREAM, Call, headers, query, segment
from pointsman_client.calling.documents import document_of, model_of
from pointsman_client.calling.events import Event
from pointsman_client.errors import ClientClosed, ClientError, DeadlineOver, OtherLoop, Refused, TaskStillRunning
from pointsman_client.models import Task
from pointsman_client.pausing import AsyncFlag, AsyncTurn, apause, async_to_the_end
from pointsman_client.problems import Forbidden, Unauthenticated
from pointsman_client.wire import AsyncHold, AsyncLoop, Clock, LetGo, anew_in_children

ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
"""The states of a task that nothing follows."""
_WAIT_SECONDS = 20
"""That one request waits; an API that allows less says so by answering earlier."""
_ANSWER_SECONDS = 10.0
"""For an answer, beyond that."""
_LAST_SECONDS = 0.25
"""Of a wait, for the answer that tells who waited in vain how its task is."""
_ONCE_SECONDS = 2.0
"""For the answer to who does not wait at all."""
_LOOK_SECONDS = 30.0
"""After which a task is looked at though nothing was told of it."""
_APART_SECONDS = 2.0
"""Between two looks at all tasks, where the stream leaves some out or is not there; between two answers to one who
waits alone, where the API does not let requests wait.
"""
_NAMED_MOST = 100
"""Tasks that a stream may name; an API takes no more, and no longer address."""
_GATHER_SECONDS = 0.2
"""For more to come, before a stream begins again because one came whom it did not name."""
_SETTLE_SECONDS = 10.0
_BEGUN_AGAIN_MOST = 3
"""Times that a stream begins again for that, each within ``_SETTLE_SECONDS`` of the one before. Beyond them too many
come: it names none.
"""
_NAMELESS_SECONDS = 60.0
"""That it names none then."""
_LATER = (408, 425, 429)
_FOR_GOOD = (ClientClosed, OtherLoop)


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
        self.found: Task | None = None
        """Its task as somebody saw it who looked for several, since it wanted to look."""
        self.is_apart = False
        """Whether its task is to be looked at by itself: it has something that is too long for a list, or is in none.
        """

    def asks(self) -> None:
        """It wants to look: what was found before is no answer."""
        self.found = None

    def told(self, task: Mapping[str, Any] | None) -> None:
        """Its task as a list has it; None: the list does not."""
        self.is_apart = task is None or (str(task.get("state")) in ENDED and bool(task.get("cut")))
        self.found = None if task is None or self.is_apart else Task(task)
        self.trouble, self.rests = None, False


class Waits:
    """All who wait for tasks through one client.

    One alone asks for its task with ``Prefer: wait``. As soon as there are more, one of them reads a stream for the
    others, and whoever hears of its task looks at it, one after the other, and for those who want to look meanwhile: so
    they need two connections together, however many they are, and one request for the ends of many. When the one that
    reads has its own task, another goes on with the same stream. It names their tasks while those are few, so that
    nothing is told of others; else it is that of all tasks.
    """

    def __init__(self) -> None:
        self._loop = AsyncLoop()
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Nobody waits: those who did are not in this process, or in a loop that is over."""
        self._waiters: defaultdict[str, list[_Waiter]] = defaultdict(list)
        self._guard = threading.Lock()
        """Of the waiters, and of what the stream names; never held while anything is waited for."""
        self._line = AsyncTurn()
        """To look at a task."""
        self._asking: list[_Waiter] = []
        """Those who want to, in the order in which they came."""
        self._singly = Clock(0)
        """Since tasks are looked at one by one, for a while."""
        self._reading = AsyncTurn()
        self._stream: EventStream | None = None
        self._named: frozenset[str] | None = None
        """The tasks that the stream names; None: it is that of all, or there is none."""
        self._hold = AsyncHold()
        """Of who reads it."""
        self._again, self._settled, self._nameless = 0, Clock(0), Clock(0)
        self._swept = Clock(0)
        self._denied = Clock(0)
        """Since nobody may listen any more, for a while."""
        self._is_owed = False
        """Whether all have to be told once more, when some time has passed."""

    async def end_of(self, client: Asked, task_id: str, seconds: float) -> Task:
        """The task when it has ended. Raises ``TaskStillRunning`` when it has not within ``seconds``, and ``Refused``
        when it cannot be asked for.
        """
        if math.isnan(seconds):
            raise ValueError("timeout must be a number of seconds")
        if seconds <= 0:
            return await self._once(client, task_id)
        if self._loop.is_new():
            self.begin_anew()
        clock, waiter, seen = Clock(seconds), _Waiter(str(task_id).lower()), None
        self._join(waiter)
        try:
            while True:
                found = await self._look(client, waiter, clock)
                if found is not None and str(found.state) in ENDED:
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

    def wake(self) -> None:
        """Have all look at once."""
        with self._guard:
            told = self._all()
        for waiter in told:
            waiter.flag.set()

    async def _once(self, client: Asked, task_id: str) -> Task:
        """The task, if it has ended by now."""
        found, trouble = None, None
        try:
            call = Call("get_task", "GET", f"/v1/tasks/{segment(task_id)}", repeatable=True)
            found = model_of(Task, await client.ask(call, seconds=_ONCE_SECONDS))
        except ClientError as error:
            if _is_for_good(error):
                raise
            trouble = error
        if found is None or str(found.state) not in ENDED:
            raise TaskStillRunning(task_id, *_named(found), 0.0) from trouble
        return found

    def _join(self, waiter: _Waiter) -> None:
        with self._guard:
            # Whoever waits alone does so no longer, and its connection would be one too many.
            holds = [other.hold for other in self._all() if other.hold is not None]
            self._waiters[waiter.task_id].append(waiter)
            if self._named is not None and waiter.task_id not in self._named:
                holds.append(self._hold)
        for hold in holds:
            hold.let_go()

    async def _leave(self, waiter: _Waiter) -> None:
        with self._guard:
            self._waiters[waiter.task_id].remove(waiter)
            if not self._waiters[waiter.task_id]:
                del self._waiters[waiter.task_id]
        if not self._reading.taken_at_once():
            return
        try:
            if not self._waiters:
                await self._end()
        finally:
            self._reading.give_back()
        with self._guard:
            # Those who are there now: whoever came or went meanwhile found that it was taken.
            others = self._all()
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
        with self._guard:
            waiter.asks()
            self._asking.append(waiter)
        try:
            if not await self._line.taken(clock.left):
                return waiter.found
            try:
                return waiter.found or await self._looked(client, waiter, clock)
            finally:
                self._line.give_back()
        finally:
            with self._guard:
                self._asking = [other for other in self._asking if other is not waiter]

    async def _looked(self, client: Asked, waiter: _Waiter, clock: Clock) -> Task | None:
        """The same, when it is its turn."""
        try:
            await self._look_for_all(client, waiter, clock)
            if waiter.found is not None:
                return waiter.found
            waits = 0
            if self._is_alone():
                waiter.hold = AsyncHold()
                # Whoever comes between these two lines finds it.
                waits = min(_WAIT_SECONDS, math.ceil(clock.left)) if self._is_alone() else 0
            began = Clock(min(1.0, float(waits)))
            found = await self._asked(client, waiter, clock, waits)
            waiter.trouble = None
            # This API lets nobody wait, or is about to stop; or there is no time for another wait.
            waiter.rests = began.left > 0 or (waits > 0 and clock.left < 2 * _LAST_SECONDS)
            return found
        except LetGo:
            return None
        except ClientError as error:
            if _is_for_good(error):
                raise
            waiter.trouble = error
            waiter.rests = True
            return None
        finally:
            waiter.hold = None

    async def _look_for_all(self, client: Asked, waiter: _Waiter, clock: Clock) -> None:
        """Ask for the tasks of those who want to look by now, with one request. Nothing, when it is this one alone."""
        with self._guard:
            # Not who comes while it is asked: the answer would be of before.
            those = [waiter, *(other for other in self._asking if other is not waiter and not other.is_apart)]
        ids = list(dict.fromkeys(one.task_id for one in those))[:_NAMED_MOST]
        if len(ids) == 1 or waiter.is_apart or self._singly.left > 0:
            return
        call = Call("list_tasks", "GET", "/v1/tasks" + query(task_id=ids), repeatable=True)
        try:
            answer = await client.ask(call, seconds=max(0.2, min(clock.left, _ANSWER_SECONDS)))
            listed = document_of(answer).get("items")
        except Refused as error:
            if not _is_for_good(error):
                raise
            # An API that names none in its list, or a key that may look at one, and not into that.
            self._singly = Clock(_NAMELESS_SECONDS)
            return
        tasks = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        found = {str(task.get("id")).lower(): task for task in tasks}
        with self._guard:
            for one in those:
                if one.task_id in ids:
                    one.told(found.get(one.task_id))

    async def _asked(self, client: Asked, waiter: _Waiter, clock: Clock, waits: int) -> Task:
        """The task when it has ended, or before the time is over: the answer to a whole number of seconds may be too
        late, and who waits in vain shall know how its task is.
        """
        call = Call("get_task", "GET", f"/v1/tasks/{segment(waiter.task_id)}", repeatable=True)
        last = min(_LAST_SECONDS, clock.left / 4)
        if waits:
            waiting = replace(call, headers=headers(Prefer=f"wait={waits}"))
            seconds = min(clock.left - last, waits + _ANSWER_SECONDS)
            try:
                return model_of(Task, await client.ask(waiting, seconds=seconds, hold=waiter.hold))
            except DeadlineOver:
                if clock.left > 2 * _LAST_SECONDS:
                    raise
        seconds = max(0.2, min(clock.left, _ANSWER_SECONDS))
        return model_of(Task, await client.ask(call, seconds=seconds, hold=waiter.hold))

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
        while until.left > 0 and not await waiter.flag.taken(0):
            if self._stream is not None and self._named is None and self._may_name():
                await self._end()
            if self._is_owed and self._swept.left <= 0:
                self.wake()
                self._swept, self._is_owed = Clock(_APART_SECONDS), False
                continue
            stream = self._stream or self._begin(client)
            left = min(until.left, self._swept.left) if self._is_owed else until.left
            try:
                event = await stream.next(left, self._hold)
            except LetGo:
                await self._end()
                self._count_again()
                await apause(min(_GATHER_SECONDS, until.left))
            except ClientError as error:
                if isinstance(error, _FOR_GOOD):
                    return
                if isinstance(error, Unauthenticated | Forbidden) and self._denied.left <= 0:
                    # A key that has ended opens no task either: all of them hear so from their own, at once.
                    self._denied = Clock(_APART_SECONDS)
                    await self._end()
                    self.wake()
                    return
                if self._named is not None and _is_for_good(error):
                    # An API that knows of no names, or a name that is none: it may still tell of all.
                    self._nameless = Clock(_NAMELESS_SECONDS)
                else:
                    self._is_owed = True
                    await apause(min(_APART_SECONDS, until.left))
                # It has given up; another one begins anew.
                await self._end()
            else:
                if event is not None:
                    self._tell(event)

    def _begin(self, client: Asked) -> EventStream:
        """A stream that names those who wait, where they may be named."""
        with self._guard:
            ids = sorted(self._waiters) if self._may_name() else None
            self._named, self._hold = None if ids is None else frozenset(ids), AsyncHold()
        path = "/v1/tasks/events" + query(task_id=ids)
        self._stream = client.stream(Call("stream_tasks", "GET", path, repeatable=True, accept=EVENT_STREAM))
        return self._stream

    async def _end(self) -> None:
        """End the stream."""
        with self._guard:
            stream, self._stream, self._named = self._stream, None, None
        if stream is not None:
            with async_to_the_end():
                await stream.aclose()

    def _may_name(self) -> bool:
        """Whether those who wait are few, and not too many more came since."""
        return len(self._waiters) <= _NAMED_MOST and self._nameless.left <= 0

    def _count_again(self) -> None:
        """A stream begins again for one whom it did not name."""
        self._again = self._again + 1 if self._settled.left > 0 else 1
        self._settled = Clock(_SETTLE_SECONDS)
        if self._again > _BEGUN_AGAIN_MOST:
            self._nameless = Clock(_NAMELESS_SECONDS)

    def _tell(self, event: Event) -> None:
        if event.name in ("begin", "reset"):
            self._swept, self._is_owed = Clock(_APART_SECONDS), False
            self.wake()
        if event.name != "tasks":
            return
        ended = [str(change.get("id")) for change in event.listed("changes") if str(change.get("state")) in ENDED]
        with self._guard:
            told = [waiter for task_id in ended for waiter in self._waiters.get(task_id, ())]
        for waiter in told:
            waiter.flag.set()
        self._is_owed = self._is_owed or bool(event.field("left_out"))


def _is_for_good(error: ClientError) -> bool:
    """Whether the same would be answered again."""
    refused = isinstance(error, Refused) and error.status < 500 and error.status not in _LATER
    return refused or isinstance(error, _FOR_GOOD)


def _named(seen: Task | None) -> tuple[str, str]:
    return ("task", "not known to have ended") if seen is None else (seen.task_type, str(seen.state))
