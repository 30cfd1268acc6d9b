"""What a lost connection could neither acknowledge nor give back: the next one of this process to that broker does.

Celery gives a lost connection a tenth of a second to clean up. What it does not manage would stay among the
unacknowledged until the visibility timeout.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class LeftBehind:
    """Of one broker. Only the thread that consumes touches it."""

    acknowledged: list[str] = field(default_factory=list)
    """Delivery tags to acknowledge."""
    held: list[str] = field(default_factory=list)
    """Delivery tags to give back."""
    fetches: list[tuple[str, int]] = field(default_factory=list)
    """Name and number of fetches whose answer was lost: what they took is to be given back."""

    def __bool__(self) -> bool:
        return bool(self.acknowledged or self.held or self.fetches)


_of_brokers: dict[Any, LeftBehind] = {}


def left_behind(client: Any) -> LeftBehind:
    """What was left behind at the broker of a kombu connection."""
    return _of_brokers.setdefault((client.hostname, client.port, client.virtual_host), LeftBehind())
