"""Changes as they are committed, to everybody who listens to this process.

One reader a process asks for all of its listeners, and asks nothing while there are none. What changed it learns from
``live_change``, which is written in the transaction of each change; what a listener is told is read from the rows, by
this one reader, so that nobody sees a task go back.
"""

import asyncio
import heapq
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID

from pointsman_service.callers import LOCAL, Caller
from pointsman_service.errors import DatabaseAway
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.slots import MESSAGE_SECONDS
from pointsman_service.live.task_changes import Channels, TaskChange, TaskListener, TaskMatch, Told, with_missed
from pointsman_service.live.topics import Topic, TopicListener
from pointsman_service.live.watches import TaskWatch, Watches
from pointsman_service.loops import Loop
from pointsman_service.store import changes
from pointsman_service.store.changes import Changes, Mark
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks import following
from pointsman_service.telemetry import logger

log = logger(__name__)

_WATCHING_SECONDS = 0.25
"""Between two looks while somebody watches a task and no bell rings."""
_SHORTEST_SECONDS = 0.05
"""Between two looks while somebody watches a task, however often it rings."""
_QUIET_SECONDS = 4.0
"""Between two looks while nobody waits for more than to be told that something changed: at most, and no longer than
nothing has."""
_RENEW_SECONDS = 30.0
_ALL_AGAIN_SECONDS = 5.0
"""All watched tasks are read again, for a process of the release before tells of nothing."""
_SETTLE_SECONDS = 2.0
_LAPSE_SECONDS = 20.0
"""Changes that are not to be forgotten before they are read."""
_IDS_A_READ = 1000
_CHANGED_MOST = 20_000
"""Tasks that may change between two messages and still be told one by one."""
_TOLD_MOST, _TOLD_LEAST = 1000, 20
"""Tasks in one message."""
_FEW_LISTENERS = 50
"""More are told less at once, so that ten times as many cost no more bytes."""
_MESSAGES_A_SECOND = 250
"""To all listeners to filters; more than half as many are told less often. Each message is a wake and a write of its
own, whatever is in it: five hundred listeners take some three hundredths of a core.
"""
STALE_SECONDS = 3.0
"""After so long without an answer of the database what was told may be old."""


class ChangeStream:
    """What happens to tasks, breakers, alerts, queues and error groups, for the listeners of one process.

    Its loop must run. Each ``watch``, ``follow`` and ``topics`` is given to ``leave`` in the end.
    """

    def __init__(self, store: Store, listeners: Listeners) -> None:
        self._store = store
        self._listeners = listeners
        self._watches = Watches()
        self._channels = Channels()
        self._topics: set[TopicListener] = set()
        self._wake = asyncio.Event()
        self._passed_at = self._told_at = self._all_read_at = float("-inf")
        self._renew_at = float("-inf")
        self._since: float | None = None
        self._mark: Mark | None = None
        self._settles_at: int | None = None
        self._to_read: set[UUID] = set()
        self._changed: set[UUID] = set()
        self._told_mark: Mark | None = None
        self._missed = False
        self._ready = asyncio.Event()
        self._read_at: float | None = None
        self._changed_at = float("-inf")
        self._came = self._was_away = False
        self.watched = asyncio.Event()
        """Set while somebody watches a task, or topics: only then it is worth to know at once what was recorded."""
        self.loop = Loop("live changes", self.single_pass, MESSAGE_SECONDS)

    # For listeners

    def watch(self, task_id: UUID, *, waits: bool = False, caller: Caller = LOCAL) -> TaskWatch:
        """Watch a task: ``next`` gives its state now, and then what becomes of it. Raises ``TooManyListeners``, unless
        it only ``waits`` for its end: those who wait are as many as there are connections.
        """
        watch = TaskWatch(task_id)
        if not waits:
            self._listeners.add(watch, caller)
        elif self._listeners.closed:
            watch.end()
            return watch
        self._watches.add(watch)
        self._begin()
        return watch

    async def follow(self, match: TaskMatch, after: Mark | None = None, caller: Caller = LOCAL) -> TaskListener:
        """Follow the tasks that meet ``match`` from now on, or from ``after``: its first message then says with
        ``reset`` if that is no longer known. Raises ``TooManyListeners``.
        """
        self._listeners.refuse(caller)
        async with self._store.statement() as connection:
            # Whoever cannot be told anything is told so at once.
            await changes.here(connection)
        listener = TaskListener(match)
        self._listeners.add(listener, caller)
        self._channels.add(listener)
        self._begin()
        try:
            await self._begun()
            await self._go_on(listener, after)
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def topics(self, topics: Collection[Topic], *, counts: bool = True) -> TopicListener:
        """Be told which of these change. Raises ``TooManyListeners``, unless it does not count as one: who tells others
        counts those.
        """
        listener = TopicListener(topics)
        if counts:
            self._listeners.add(listener)
        self._topics.add(listener)
        self._begin()
        return listener

    def leave(self, listener: TaskWatch | TaskListener | TopicListener) -> None:
        """Tell this one nothing more."""
        self._listeners.discard(listener)
        if isinstance(listener, TaskWatch):
            self._watches.discard(listener)
        elif isinstance(listener, TaskListener):
            self._channels.discard(listener)
        else:
            self._topics.discard(listener)
        if not len(self._watches) and not self._topics:
            self.watched.clear()

    def close(self) -> None:
        """Let everybody who waits for the end of a task go: the process is about to stop. Listeners are ended by
        ``Listeners.close``.
        """
        self._watches.end()

    def mark_of(self, listener: TaskListener) -> Mark | None:
        """Up to where a listener that has taken everything knows all; None while something waits for it."""
        return self._told_mark if listener.is_empty and listener.missed is None else None

    @property
    def is_stale(self) -> bool:
        """Whether the database has not answered for some seconds: more may have happened than was told."""
        return self._read_at is not None and time.monotonic() - self._read_at > STALE_SECONDS

    @property
    def read_at(self) -> float | None:
        """When the database last said what changed, monotonic; None: nobody listens, or it has not yet."""
        return self._read_at if self._mark is not None else None

    def ring(self) -> None:
        """Something was recorded: look at once."""
        self._wake.set()

    def changed_here(self) -> None:
        """Something may have been changed by this process: look at once, if there is somebody to be told."""
        if self._topics:
            self._wake.set()

    def _begin(self) -> None:
        """One more listens: look at once, for all that happens from now on is theirs."""
        if len(self._watches) or self._topics:
            self.watched.set()
        self._came = True
        self._wake.set()

    # The reader

    async def single_pass(self) -> bool:
        """Wait for the time or an occasion to look, and tell what changed. Always True: it has waited itself."""
        await self._rest()
        if not self._is_wanted:
            self._forget()
            return True
        if self._read_at is None:
            self._read_at = time.monotonic()
        try:
            await self._renew()
            async with self._store.statement() as connection:
                found = await self._look(connection)
                await self._read(connection, found)
        except Exception:
            self._was_away = True
            raise
        self._was_away = False
        self._read_at = time.monotonic()
        return True

    @property
    def _is_wanted(self) -> bool:
        return self._names_tasks or bool(self._topics)

    @property
    def _names_tasks(self) -> bool:
        """Whether anybody is told which tasks changed."""
        return bool(len(self._watches) or len(self._channels))

    def _forget(self) -> None:
        self._mark = self._told_mark = self._read_at = None
        self._changed.clear()
        self._to_read.clear()
        self._missed = False
        self._ready.clear()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._passed_at + self._pause - time.monotonic())):
                await self._wake.wait()
        at_once = self._came or len(self._watches) > 0
        too_soon = self._passed_at + (_SHORTEST_SECONDS if at_once else MESSAGE_SECONDS) - time.monotonic()
        if too_soon > 0:
            await asyncio.sleep(too_soon)
        self._came = False
        self._wake.clear()
        self._passed_at = time.monotonic()

    @property
    def _pause(self) -> float:
        """Seconds from one look to the next when nothing rings."""
        if len(self._watches):
            return _WATCHING_SECONDS
        if len(self._channels) or not self._topics:
            return MESSAGE_SECONDS
        return min(_QUIET_SECONDS, max(MESSAGE_SECONDS, time.monotonic() - self._changed_at))

    async def _renew(self) -> None:
        now = time.monotonic()
        if now < self._renew_at:
            return
        async with self._store.statement() as connection:
            since = await changes.listen(connection)
        if since != self._since:
            # Nothing was written down between.
            self._missed |= self._mark is not None
            self._since, self._mark = since, None
        self._renew_at = now + _RENEW_SECONDS

    async def _look(self, connection: Connection) -> Changes:
        """What changed since the last look."""
        before = self._mark
        if before is None:
            mark = await changes.here(connection)
            found = Changes(mark, frozenset(), frozenset(), complete=not self._missed)
            assert self._since is not None
            # Who began before anybody listened writes nothing down, and may yet commit.
            self._settles_at = mark.newest if mark.at - self._since < _SETTLE_SECONDS * 2 else None
        else:
            named = self._names_tasks
            found = await changes.since(connection, before, named=named)
            if self._names_tasks and not named:
                # Somebody came meanwhile who is told of tasks by name, from then on.
                found = await changes.since(connection, before)
            if not _goes_on(before, found.mark):
                found = Changes(found.mark, frozenset(), frozenset(), complete=False)
        self._mark = found.mark
        if found.topics or not found.complete:
            self._changed_at = time.monotonic()
        self._missed |= not found.complete
        if self._settles_at is not None and found.mark.oldest >= self._settles_at:
            self._settles_at = None
        if self._settles_at is None:
            self._ready.set()
        return found

    async def _read(self, connection: Connection, found: Changes) -> None:
        """Read the rows that somebody is to be told of, and tell."""
        now = time.monotonic()
        self._tell_topics(found)
        if len(self._channels):
            self._changed |= found.task_ids
        # Kept until they are read: the database may go away before that.
        self._to_read |= self._watches.among(found.task_ids) | self._watches.unread
        self._watches.unread.clear()
        is_behind = self._settles_at is not None or not found.complete
        if is_behind or now - self._all_read_at >= _ALL_AGAIN_SECONDS:
            self._to_read |= self._watches.all
            self._all_read_at = now
        watched = frozenset(self._to_read)
        if len(self._changed) > _CHANGED_MOST:
            self._changed.clear()
            self._missed = True
        is_due = now - self._told_at >= max(
            MESSAGE_SECONDS - _SHORTEST_SECONDS, len(self._channels) / _MESSAGES_A_SECOND
        )
        returned = [one.missed for one in self._channels if one.missed is not None]
        told, unread = self._begin_to_tell() if is_due else (set(), 0)
        told = told.union(*returned) if is_due else told
        rows = {row.id: TaskChange(row) for row in await _rows(connection, watched | told)}
        self._to_read -= watched
        self._watches.tell(watched, [rows[one] for one in watched if one in rows])
        if is_due and (self._changed or returned or self._missed) and len(self._channels):
            self._told_at = now
            self._tell(rows, unread)
        if not self._changed and not self._missed:
            self._told_mark = self._mark

    @property
    def _most(self) -> int:
        """Tasks in one message."""
        share = min(1.0, _FEW_LISTENERS / max(1, len(self._channels)))
        return max(_TOLD_LEAST, int(_TOLD_MOST * share * share))

    def _begin_to_tell(self) -> tuple[set[UUID], int]:
        """Which rows are to be read for followers, and how many more changed that nobody is told of by name."""
        most = self._most
        if not self._channels.all_follow_everything or len(self._changed) <= most:
            return set(self._changed), 0
        return set(heapq.nlargest(most, self._changed)), len(self._changed) - most

    def _tell(self, rows: dict[UUID, TaskChange], unread: int) -> None:
        assert self._mark is not None
        most = self._most
        changed = [rows[one] for one in sorted(self._changed.intersection(rows))]
        self._changed.clear()
        for listener in self._channels:
            if listener.missed is not None:
                missed = [rows[one] for one in sorted(listener.missed) if one in rows]
                listener.missed = None
                if missed:
                    listener.offer(with_missed(listener, missed, self._mark, most))
        self._channels.tell(changed, self._mark, most, unread=unread, reset=self._missed)
        self._missed = False

    def _tell_topics(self, found: Changes) -> None:
        # What was shown while the database was away may lack something though nothing has changed.
        is_known = found.complete and not self._was_away
        for listener in self._topics:
            news = listener.topics & found.topics if is_known else listener.topics
            if news:
                listener.offer(news)

    async def _begun(self) -> None:
        """Wait until everything that happens from now on is told."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            if self._mark is None:
                raise DatabaseAway("The database does not answer; there is nothing to listen to. Try again.") from None
            log.info("somebody begins to listen while changes are under way that nobody tells of")

    async def _go_on(self, listener: TaskListener, after: Mark | None) -> None:
        """Find what a listener missed. It is among those who are told already, so nothing lies between."""
        if after is None:
            return
        assert self._mark is not None
        assert self._since is not None
        async with self._store.statement() as connection:
            found = await changes.since(connection, after)
        if after.at >= self._since and _goes_on(after, found.mark) and found.complete:
            listener.missed = found.task_ids
        else:
            listener.offer(Told([], 0, self._mark, reset=True))
        self._wake.set()


def _goes_on(before: Mark, now: Mark) -> bool:
    """Whether everything since ``before`` is still kept, in the same history."""
    return 0 <= now.at - before.at < changes.KEPT_SECONDS - _LAPSE_SECONDS and before.newest <= now.newest


async def _rows(connection: Connection, ids: Collection[UUID]) -> Sequence[following.FollowedTask]:
    wanted = sorted(ids)
    rows: list[following.FollowedTask] = []
    for first in range(0, len(wanted), _IDS_A_READ):
        rows += await following.tasks(connection, wanted[first : first + _IDS_A_READ])
    return rows
