"""What is told of a task, and to whom: everybody, or those whose filter it meets."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.live.slots import Slot
from pointsman_service.store.changes import Mark
from pointsman_service.store.tasks.following import FollowedTask

_R = TypeVar("_R")


class _Rendered:
    """Something that many listeners are shown alike: rendered once for all of them."""

    __slots__ = ("_render", "_rendered")

    def __init__(self) -> None:
        self._render: Callable[[Any], Any] | None = None
        self._rendered: Any = None

    def once(self, render: Callable[[Any], _R]) -> _R:
        """``render(self)``, made once as long as all ask for the same."""
        if self._render is not render:
            self._rendered, self._render = render(self), render
        return cast(_R, self._rendered)


class TaskChange(_Rendered):
    """A task as it was after a change, or several."""

    __slots__ = ("task",)

    def __init__(self, task: FollowedTask) -> None:
        super().__init__()
        self.task = task

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended."""
        return self.task.state in TERMINAL


Tag = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TaskMatch:
    """Which tasks somebody follows; None and empty mean everything. A task is told when it meets this as it is now."""

    state: TaskState | None = None
    queue: str | None = None
    task_type: str | None = None
    caller: str | None = None
    worker: str | None = None
    """Of its newest attempt: a node's name, which means all its lives, or one life's (``name#…``)."""
    error_type: str | None = None
    """Of its last attempt, where that has ended."""
    error_group: UUID | None = None
    tags: tuple[tuple[Tag, ...], ...] = ()
    """Of each of these, one must be among its tags."""
    ids: frozenset[UUID] = frozenset()
    """The only ones."""

    def meets(self, task: FollowedTask) -> bool:
        """Whether it is told of this task."""
        if self.ids and task.id not in self.ids:
            return False
        for name in _SINGLE:
            wanted = getattr(self, name)
            if wanted is None or wanted == getattr(task, name):
                continue
            if name != "worker" or wanted != _node(task):
                return False
        tags = task.tags or {}
        return all(any(tags.get(name) == value for name, value in readings) for readings in self.tags)

    @property
    def rarest(self) -> list[tuple[str, object]]:
        """What of it few tasks meet: each that meets it has exactly one of these."""
        if self.ids:
            return [("id", one) for one in self.ids]
        for readings in self.tags:
            if len(readings) == 1:
                return [("tag", readings[0])]
        for name in _SINGLE:
            wanted = getattr(self, name)
            if wanted is not None:
                return [(name, wanted)]
        return [_EVERYTHING]


# Those that few tasks meet first.
_SINGLE = ("error_group", "worker", "task_type", "caller", "error_type", "queue", "state")
_EVERYTHING: tuple[str, object] = ("", None)


def _node(task: FollowedTask) -> str | None:
    """The node that ran its newest attempt, whichever of its lives that was."""
    return None if task.worker is None else task.worker.partition("#")[0]


class Told(_Rendered):
    """One message: what changed since the one before it."""

    __slots__ = ("changes", "left_out", "mark", "reset")

    def __init__(self, changes: Sequence[TaskChange], left_out: int, mark: Mark, *, reset: bool = False) -> None:
        super().__init__()
        self.changes = changes
        self.left_out = left_out
        """How many more changed that are not among them: there were too many at once."""
        self.mark = mark
        """Whoever has this message has everything up to here."""
        self.reset = reset
        """Whether something before it was not told, and nobody knows what."""

    def after(self, before: "Told") -> "Told":
        """Both as one, no longer than the longer of them."""
        newest = {change.task.id: change for change in (*before.changes, *self.changes)}
        most = max(len(before.changes), len(self.changes))
        changes = list(newest.values())[-most:] if most else []
        left_out = before.left_out + self.left_out + len(newest) - len(changes)
        return Told(changes, left_out, self.mark, reset=before.reset or self.reset)


class TaskListener(Slot[Told]):
    """One who follows all tasks, or those that meet a filter."""

    def __init__(self, match: TaskMatch) -> None:
        super().__init__()
        self.match = match
        self.missed: frozenset[UUID] | None = None
        """What changed while it was away, until it was told of that."""

    def merge(self, before: Told, news: Told) -> Told:
        """The newest state of each task, and no more of them than fit into one message."""
        return news.after(before)


class Channels:
    """Listeners by what they follow: those who follow the same are told the same message."""

    def __init__(self) -> None:
        self._by_match: dict[TaskMatch, set[TaskListener]] = {}
        self._by_rarest: defaultdict[tuple[str, object], set[TaskMatch]] = defaultdict(set)
        self._listeners = 0

    def __len__(self) -> int:
        return self._listeners

    def __iter__(self) -> Iterator[TaskListener]:
        for listeners in self._by_match.values():
            yield from listeners

    def add(self, listener: TaskListener) -> None:
        """From now on it is among them."""
        self._by_match.setdefault(listener.match, set()).add(listener)
        for key in listener.match.rarest:
            self._by_rarest[key].add(listener.match)
        self._listeners += 1

    def discard(self, listener: TaskListener) -> None:
        """It is no longer."""
        match = listener.match
        listeners = self._by_match.get(match, set())
        if listener not in listeners:
            return
        listeners.discard(listener)
        self._listeners -= 1
        if not listeners:
            del self._by_match[match]
            for key in match.rarest:
                self._by_rarest[key].discard(match)
                if not self._by_rarest[key]:
                    del self._by_rarest[key]

    @property
    def all_follow_everything(self) -> bool:
        """Whether nobody has a filter."""
        return self._by_match.keys() == {TaskMatch()}

    def tell(
        self, changes: Iterable[TaskChange], mark: Mark, most: int, *, unread: int = 0, reset: bool = False
    ) -> None:
        """Give everybody what meets their filter, at most ``most`` tasks each; with ``reset`` everybody is told.
        ``unread`` more changed, while all follow everything.
        """
        found: defaultdict[TaskMatch, list[TaskChange]] = defaultdict(list)
        for change in changes:
            for match in self._matches(change.task):
                found[match].append(change)
        for match, listeners in self._by_match.items():
            met = found.get(match)
            if met is None and not reset:
                continue
            met = met or []
            # The newest tasks are the ones that most is wanted of.
            told = Told(met[-most:], unread + max(0, len(met) - most), mark, reset=reset)
            for listener in listeners:
                listener.offer(told)

    def _matches(self, task: FollowedTask) -> Iterator[TaskMatch]:
        keys: list[tuple[str, object]] = [
            _EVERYTHING,
            ("id", task.id),
            *(("tag", tag) for tag in (task.tags or {}).items()),
        ]
        keys += [(name, getattr(task, name)) for name in _SINGLE]
        if (node := _node(task)) != task.worker:
            keys.append(("worker", node))
        for key in keys:
            for match in self._by_rarest.get(key, ()):
                if match.meets(task):
                    yield match


def with_missed(listener: TaskListener, changes: Iterable[TaskChange], mark: Mark, most: int) -> Told:
    """What a listener that comes back is told first."""
    met = [change for change in changes if listener.match.meets(change.task)]
    return Told(met[-most:], max(0, len(met) - most), mark)
