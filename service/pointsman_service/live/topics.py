"""That something of a kind changed, and no more: for whoever shows much at once and reads it anew then."""

from collections.abc import Collection

from pointsman_service.live.slots import Slot
from pointsman_service.store.changes import Topic

__all__ = ["Topic", "TopicListener"]


class TopicListener(Slot[frozenset[Topic]]):
    """One who is told which of its topics changed, from ``ChangeStream.topics``. A break in what is known counts as a
    change of all of them.
    """

    def __init__(self, topics: Collection[Topic]) -> None:
        super().__init__()
        self.topics = frozenset(topics)

    def merge(self, before: frozenset[Topic], news: frozenset[Topic]) -> frozenset[Topic]:
        """What changed at all."""
        return before | news
