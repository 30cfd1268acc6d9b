"""Calls that one process refused, counted by why. A refusal costs a number in memory, however many there are."""

from collections import Counter

from pointsman_service.errors import PointsmanError
from pointsman_service.loops import Loop
from pointsman_service.store import refused_calls
from pointsman_service.store.leadership import Presence

_WRITE_SECONDS = 5.0
_COUNTED = frozenset(refused_calls.REASONS)


class Refusals:
    """For one process. Its loop must run: it adds what was counted to what all processes did, every five seconds and
    only where there is something.
    """

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._counted: Counter[str] = Counter()
        self.loop = Loop("refusals", self.single_pass, _WRITE_SECONDS)

    def count(self, error: Exception) -> None:
        """A call, or an item of a batch, was answered with this. What says nothing of who asked is not counted."""
        if isinstance(error, PointsmanError) and error.code in _COUNTED:
            self._counted[error.code] += 1

    async def single_pass(self) -> bool:
        """Write down what was counted. Raises the store's errors, and then it is still to be written."""
        if not self._counted:
            return False
        counted, self._counted = self._counted, Counter()
        try:
            async with self._presence.statement() as connection:
                await refused_calls.add(connection, counted)
        except BaseException:
            self._counted += counted
            raise
        return False
