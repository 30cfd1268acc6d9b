"""Signs what one connection writes to Redis (``pointsman_contract.signing``), as the scripts take it.

Scripts decide in Redis what an event is: it brings a signature for each that it may become. The time of an event is
then the one that is signed, on the clock of Redis as this connection knows it.
"""

from collections.abc import Callable, Sequence

from pointsman_contract.events import EventKind
from pointsman_contract.signing import Lane, Purpose, Signer, event_text, lines_text

_EARLY_SECONDS = 5.0
"""That a task expires is not signed for long before: whoever looks on could tell of it at once."""
_NOT_YET = "-"


class Stamp:
    """To be used by one thread at a time. ``clock`` raises what asking Redis raises."""

    def __init__(self, signer: Signer, clock: Callable[[], float]) -> None:
        self.signer = signer
        self._clock = clock
        self._lane = Lane()

    def event(self, kind: str, task: str, body: str) -> tuple[str, ...]:
        """What ``append.lua`` takes after the body."""
        at, mark = self._begin()
        return at, self.signer.key, mark, self._mac(kind, task, "0", at, "0", "", mark, body)

    def outcome(self, kind: str, task: str, attempt: int, body: str) -> str:
        """The signatures that ``report.lua`` takes."""
        at, mark = self._begin()
        macs = [self._mac(kind, task, str(attempt), at, late, "", mark, body) for late in ("0", "1")]
        return " ".join((at, self.signer.key, mark, *macs))

    def gate(self, task: str, after: int, body: str, expires_at: float | None, breakers: Sequence[str]) -> str:
        """The signatures that ``gate.lua`` takes."""
        at, mark = self._begin()

        def mac(kind: EventKind, attempt: int = after, breaker: str = "") -> str:
            return self._mac(kind, task, str(attempt), at, "0", breaker, mark, body)

        expires = expires_at is not None and float(at) >= expires_at - _EARLY_SECONDS
        macs = (
            mac(EventKind.STARTED, after + 1),
            mac(EventKind.ASK),
            mac(EventKind.DUPLICATE),
            mac(EventKind.EXPIRED) if expires else _NOT_YET,
            *(mac(EventKind.HELD, breaker=breaker) for breaker in breakers),
        )
        return " ".join((at, self.signer.key, mark, *macs))

    def lines(self, *fields: str) -> str:
        """The signature that ``append_lines.lua`` takes."""
        return self.signer.sign(Purpose.LINES, lines_text(*fields))

    def _begin(self) -> tuple[str, str]:
        return f"{self._clock():.6f}", self._lane.next()

    def _mac(self, *fields: str) -> str:
        return self.signer.mac(Purpose.EVENT, event_text(*fields))
