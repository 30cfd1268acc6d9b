"""Whose events are written down, where they are signed: those of somebody who holds a key, as they were written, once.

An event that says of a task what its row may know already is told twice without harm: rows move once. What else is
counted, or shows how things stand, has a mark of a lane whose numbers rise (``pointsman_contract.signing``). How far
each lane was read is written down with the position.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pointsman_contract.events import EventKind
from pointsman_contract.signing import UNSIGNED, Forged, Purpose, Signer, Trust, began_at
from pointsman_service.errors import ServiceError

REMEMBER_DAYS = 30.0
"""So long after its last event a lane is remembered."""
_OLDEST_SECONDS = 14 * 86_400.0
"""A lane that is not known and older than this was forgotten: one is used for a day."""
_TOLD_ONCE = frozenset(
    str(kind).encode() for kind in (EventKind.PROGRESS, EventKind.DUPLICATE, EventKind.NATIVE, EventKind.CATALOGUE)
)


class Repeated(ServiceError):
    """The event was written down already."""


class Mark(NamedTuple):
    """Where in its lane an event stands."""

    lane: str
    number: int


class Proof:
    """What the events of one recorder are asked for."""

    def __init__(self, trust: Trust) -> None:
        self._signer = trust.signer
        self.requires = trust.requires
        self.passed: dict[str, int] = {}
        """How far each lane was written down."""
        self.doubted = 0
        """How many were written down that ``require`` would leave out."""
        self.doubt = ""
        """What was wrong with the last of them."""

    def of(self, fields: Mapping[bytes, bytes]) -> Mark | None:
        """The mark of an entry that needs one. Raises ``Forged`` for one that must not be written down."""
        if self._signer is None:
            return None
        try:
            mark = _signed(fields, self._signer)
        except Forged as fault:
            if self.requires:
                raise
            self.doubted += 1
            self.doubt = str(fault)
            return None
        return mark if self.requires and fields[b"kind"] in _TOLD_ONCE else None

    def take(self, mark: Mark, taken: dict[str, int], now: float) -> None:
        """Take the next event of a lane into ``taken``, how far its batch has come. Raises ``Repeated``, or ``Forged``
        for a lane that nobody remembers; ``now`` in Unix seconds.
        """
        known = taken.get(mark.lane) or self.passed.get(mark.lane)
        if known is None:
            try:
                began = began_at(mark.lane)
            except ValueError:
                raise Forged("its mark is none") from None
            if began < now - _OLDEST_SECONDS:
                raise Forged("it is so old that nobody remembers whether it was written down")
        elif mark.number <= known:
            raise Repeated
        taken[mark.lane] = mark.number


def _signed(fields: Mapping[bytes, bytes], signer: Signer) -> Mark:
    found = fields.get(b"signed")
    if found is None:
        raise Forged(UNSIGNED)
    words = found.decode(errors="replace").split(" ")
    if len(words) != 3:
        raise Forged(UNSIGNED)
    key, mark, mac = words
    text = b"\0".join(
        (
            fields[b"kind"],
            fields[b"task"],
            fields[b"attempt"],
            fields[b"at"],
            fields.get(b"late", b"0"),
            fields.get(b"breaker", b""),
            mark.encode(),
            fields[b"body"],
        )
    )
    signer.check(Purpose.EVENT, text, key, mac)
    lane, _, number = mark.partition(":")
    return Mark(lane, int(number))
