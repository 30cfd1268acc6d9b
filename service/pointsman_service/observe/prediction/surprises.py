"""Task types whose newest runs take far longer than those before: what waits behind is not taken for quick. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pointsman_service.observe.prediction.run_times import FAR, RunTimes
from pointsman_service.store.metrics.histogram import value_of
from pointsman_service.store.queues.ahead import Ahead

LEAST = 10
"""Of fewer runs nobody knows what is usual."""
_REMEMBERED_SECONDS = 120.0
"""So long after the last of them a surprise is forgotten: by then such runs are in the sums."""
_SAME_RUN = 0.5
"""A run that is seen again has run on since; one that has run for so many seconds less is another."""
Key = tuple[str, str]
"""Task type and queue."""


@dataclass(slots=True)
class _Surprise:
    usual: RunTimes
    """Of the runs before it."""
    quick: int
    """How many of the runs that ended lately were as usual."""
    seen_at: float
    running: float = 0.0
    """How long the oldest overdue run had run when it was seen last."""
    ended: float = 0.0
    """The longest of those that have ended since."""
    refuted: bool = False
    """Whether others ended as usual meanwhile: it is about single tasks, and not about those behind them."""

    def see(self, overdue: Sequence[float], recent: Mapping[int, int], at: float) -> RunTimes | None:
        """What is believed of its type; None: what is usual."""
        longest = FAR * self.usual.longest
        quick = sum(count for bucket, count in recent.items() if value_of(bucket) <= longest)
        self.refuted |= quick > self.quick
        # What is no longer recent is no news.
        self.quick = min(self.quick, quick)
        now = max(overdue, default=0.0)
        if now < self.running - _SAME_RUN:
            self.ended = max(self.ended, self.running)
        self.running = now
        if overdue:
            self.seen_at = at
        if self.refuted:
            return None
        known = max(self.usual.longest, self.ended)
        goes_on = now > known
        newest = now + max(now - known, 0.1 * now) if goes_on else known
        seen = max(len(overdue) + sum(recent.values()) - quick, 1)
        return self.usual.after(newest, seen / (seen + 1), goes_on=goes_on)

    def is_over(self, at: float) -> bool:
        """Whether nothing more is to be learned of it."""
        return (self.refuted and not self.running) or at - self.seen_at > _REMEMBERED_SECONDS


class Surprises:
    """Those that are not over."""

    def __init__(self) -> None:
        self._found: dict[Key, _Surprise] = {}

    def see(
        self,
        rows: Sequence[Ahead],
        usual: Callable[[str, str], RunTimes | None],
        recent: Mapping[Key, Mapping[int, int]],
        at: float,
    ) -> dict[Key, RunTimes]:
        """What is believed of the types whose newest runs are unlike the usual ones, from what runs ``at`` this moment
        (seconds of any clock) and the histograms of what ended lately. ``usual`` is of a type and a queue.
        """
        running: defaultdict[Key, list[float]] = defaultdict(list)
        for row in rows:
            if row.place == "running":
                running[row.task_type, row.queue] += [row.elapsed_seconds or 0.0] * row.tasks
        for key, elapsed in running.items():
            of_type = usual(*key)
            if key in self._found or of_type is None or of_type.runs < LEAST:
                continue
            overdue = [seconds for seconds in elapsed if of_type.is_overdue(seconds)]
            if 2 * len(overdue) > len(elapsed):
                quick = sum(
                    count for bucket, count in recent.get(key, {}).items() if not of_type.is_overdue(value_of(bucket))
                )
                self._found[key] = _Surprise(of_type, quick, at)
        believed = {}
        for key, surprise in list(self._found.items()):
            overdue = [seconds for seconds in running.get(key, ()) if surprise.usual.is_overdue(seconds)]
            found = surprise.see(overdue, recent.get(key, {}), at)
            if found is not None:
                believed[key] = found
            if surprise.is_over(at):
                del self._found[key]
        return {key: found for key, found in believed.items() if key in self._found}
