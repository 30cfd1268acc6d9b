"""How many may listen to a process, and that none of them leaves others no place."""

from collections import Counter

from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import TooManyListeners

AWAY_SECONDS = 5.0
"""After which whoever was refused may come again."""
_KEPT = 10
"""One of so many places is kept for those who may make keys, and for who needs none."""


class Places:
    """The places of listeners of one process.

    One caller may take as many as it leaves free, or ``most_of_one``: whoever comes next finds one. Those who come with
    a link are all together one caller, and each link within that likewise.
    """

    def __init__(self, most: int, most_of_one: int | None = None) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken = 0
        self._of: Counter[str] = Counter()

    def check(self, caller: Caller) -> None:
        """Raises ``TooManyListeners`` where there is none for this caller."""
        if self._taken >= self._most:
            raise _refused(f"{self._most} listen to this process already, as many as POINTSMAN_LISTENERS_MOST lets.")
        shares = _shares_of(caller)
        if not shares:
            return
        kept = 0 if caller.may("create_key") else self._most // _KEPT
        free = self._most - kept - self._taken
        if free <= 0:
            raise _refused("The last places of this process are kept for those who may make keys.")
        room = free if self._most_of_one is None else self._most_of_one
        for share in shares:
            own = self._of[share]
            if own >= room:
                who = "Links" if caller.known_by is KnownBy.LINK else caller.name
                said = f"{who}: {own} listen to this process already"
                lets = "as often as it leaves places to others" if self._most_of_one is None else "as often as it may"
                raise _refused(f"{said}, {lets} (POINTSMAN_CALLER_LISTENERS_MOST).")
            room -= own

    def take(self, caller: Caller) -> None:
        """One more. Raises ``TooManyListeners``."""
        self.check(caller)
        self._taken += 1
        self._of.update(_shares_of(caller))

    def leave(self, caller: Caller) -> None:
        """One less."""
        self._taken -= 1
        for share in _shares_of(caller):
            self._of[share] -= 1
            if not self._of[share]:
                del self._of[share]


def _shares_of(caller: Caller) -> tuple[str, ...]:
    """What a listener counts for, from the wider to the narrower; nothing for who needs no key."""
    if caller.known_by is KnownBy.LINK:
        return caller.name, f"{caller.name} {caller.task_id}"
    return (caller.name,) if caller.known_by in (KnownBy.KEY, KnownBy.OIDC) else ()


def _refused(why: str) -> TooManyListeners:
    return TooManyListeners(why, retry_after_seconds=AWAY_SECONDS)
