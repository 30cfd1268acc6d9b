"""Which queues a node consumes now, and of which others it may still hold messages."""

from collections.abc import Callable


class Consumption:
    """Asked at each beat, in the thread of the beats: ``celery control`` may have added or cancelled one meanwhile."""

    def __init__(self, queues: Callable[[], list[str]], held: Callable[[], list[str]]) -> None:
        self._queues = queues
        self._held = held
        self._before: set[str] = set()
        self._left: dict[str, set[str]] = {}

    def look(self) -> tuple[list[str], list[str]]:
        """The queues that are consumed, in their order; and those no longer consumed whose messages may be here.

        A queue is left until every message has gone that was held when it was first missed.
        """
        queues = self._queues()
        # Asked second: whatever was fetched from a queue that is missed is among them.
        held = set(self._held())
        now = set(queues)
        for queue in self._before - now:
            self._left[queue] = held
        self._before = now
        self._left = {
            queue: tags & held for queue, tags in self._left.items() if queue not in now and not tags.isdisjoint(held)
        }
        return queues, sorted(self._left)
