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


LOCAL: Final = Caller("local", KnownBy.ADDRESS)
"""Everybody, until access control exists."""
