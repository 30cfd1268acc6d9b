"""What has been read of an API until now, and how fresh it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pointsman_client.answer import JsonObject
from pointsman_client.top.saying import parsed

NOW = "/v1/now"
"""The path that everything else depends on."""
STALE_SECONDS = 8.0
"""Older figures are called old. Read they are at least every five seconds, while the API can be reached."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path last answered. Times are of ``time.monotonic``."""

    document: JsonObject
    got: float
    """When it came; later ones may have failed since."""
    fault: str | None = None
    """Why the newest try has brought nothing."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How the API is reached."""

    lost_since: float | None = None
    """Since when nothing is answered; None: it answers, or has not been asked."""
    reason: str = ""
    next_try: float | None = None
    streaming: bool = False
    """Whether a stream says when something changes; else it is asked once a second."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it at one moment."""

    url: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    connection: Connection = Connection()
    as_of: datetime | None = None
    """What the newest answer of ``NOW`` says of its figures, by the clock of the API."""
    as_of_since: float = 0.0
    """When that moment was first seen: a clock that stands still makes figures old, too."""

    def document(self, path: str) -> JsonObject | None:
        """What a path has answered, if anything."""
        found = self.answers.get(path)
        return None if found is None else found.document

    def fault(self, path: str) -> str | None:
        """Why a path answers nothing now."""
        found = self.answers.get(path)
        return None if found is None else found.fault

    def age(self, mono: float) -> float | None:
        """Seconds since the figures of ``NOW`` were true; None before there are any."""
        return None if self.as_of is None else max(mono - self.as_of_since, 0.0)

    def is_stale(self, mono: float) -> bool:
        """Whether what is shown must not be taken for what is."""
        age = self.age(mono)
        return self.connection.lost_since is not None or age is None or age > STALE_SECONDS

    def now(self, mono: float) -> datetime:
        """The time by the clock of the API."""
        return datetime.now(UTC) if self.as_of is None else self.as_of + timedelta(seconds=self.age(mono) or 0.0)


def as_of(document: JsonObject) -> datetime | None:
    """The moment that an answer of ``NOW`` is of."""
    return parsed(document.get("as_of"))
