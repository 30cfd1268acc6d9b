"""Who asks for something."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class KnownBy(StrEnum):
    """How it is known who calls."""

    ADDRESS = "address"
    """Whoever reaches the API: nobody is asked who they are."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submits a task or acts: the owner of its Idempotency-Keys, and the name that is kept with what was done."""

    name: str
    known_by: KnownBy
    acts: frozenset[str] | None = None
    """The kinds of acts that it may do, by the names of their operations; None: all."""
    reads_payloads: bool = True
    """Whether it may see arguments, results, tags, progress and the messages of errors."""

    def may(self, act: str) -> bool:
        """Whether it may do acts of this kind: whoever shows a button asks, and whoever does the act."""
        return self.acts is None or act in self.acts


LOCAL: Final = Caller("local", KnownBy.ADDRESS)
"""Everybody, until access control exists."""
