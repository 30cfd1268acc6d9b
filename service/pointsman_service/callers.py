"""Who asks for something."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class KnownBy(StrEnum):
    """How it is known who calls."""

    ADDRESS = "address"
    """Whoever reaches the API from this machine: nobody is asked who they are."""
    CONSOLE = "console"
    """Whoever may start commands beside the database."""
    KEY = "key"
    """By the key that came with the request."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submits a task or acts: the owner of its Idempotency-Keys, and the name that is kept with what was done."""

    name: str
    known_by: KnownBy
    acts: frozenset[str] | None = None
    """The kinds of acts that it may do, by the names of their operations; None: all."""
    reads_payloads: bool = True
    """Whether it may see arguments, results, tags, progress and the messages of errors."""
    scopes: frozenset[str] | None = None
    """What it may (``pointsman_service.access.scopes``); None: everything."""
    task_types: frozenset[str] | None = None
    """The only ones that it has to do with; None: all. So is ``queues``."""
    queues: frozenset[str] | None = None

    def may(self, act: str) -> bool:
        """Whether it may do acts of this kind: whoever shows a button asks, and whoever does the act."""
        return self.acts is None or act in self.acts


LOCAL: Final = Caller("local", KnownBy.ADDRESS)
"""Whoever asks without a key, where none is asked for."""
CONSOLE: Final = Caller("console", KnownBy.CONSOLE)
"""Who acts by a command of ``python -m pointsman_service``."""
