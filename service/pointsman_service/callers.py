"""Who asks for something."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from pointsman_service.limits import Rate


class KnownBy(StrEnum):
    """How it is known who calls."""

    ADDRESS = "address"
    """Whoever reaches the API from this machine: nobody is asked who they are."""
    CONSOLE = "console"
    """Whoever may start commands beside the database."""
    KEY = "key"
    """By the key that came with the request."""
    OIDC = "oidc"
    """By a token of the configured issuer, or by having signed in there."""
    LINK = "link"
    """By a signed link, which opens one task."""
    NOTHING = "nothing"
    """Not at all: no key came where one is asked for."""


_ENDING: Final = frozenset({KnownBy.KEY, KnownBy.OIDC, KnownBy.LINK})


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
    key_id: UUID | None = None
    """Of the key that came with the request."""
    rate: Rate | None = None
    """How fast it may submit; None: as the settings say for all."""
    quota: int | None = None
    """How many of its tasks may wait; None: as the settings say for all."""
    task_id: UUID | None = None
    """The only task that it has to do with; None: all."""

    @property
    def may_end(self) -> bool:
        """Whether what it came with may open nothing more some time."""
        return self.known_by in _ENDING

    @property
    def is_narrowed(self) -> bool:
        """Whether it has to do with some task types or queues alone."""
        return self.task_types is not None or self.queues is not None

    def reaches(self, task_type: str | None, queue: str | None) -> bool:
        """Whether it has to do with tasks of this type on this queue; None: of any."""
        return (self.task_types is None or task_type in self.task_types) and (
            self.queues is None or queue in self.queues
        )

    def may(self, act: str) -> bool:
        """Whether it may do acts of this kind: whoever shows a button asks, and whoever does the act."""
        return self.acts is None or act in self.acts


OIDC_PREFIX: Final = "oidc:"
"""Names of callers whom the issuer knows begin with it, and those of no key."""
LOCAL: Final = Caller("local", KnownBy.ADDRESS)
"""Whoever asks without a key, where none is asked for."""
CONSOLE: Final = Caller("console", KnownBy.CONSOLE)
"""Who acts by a command of ``python -m pointsman_service``."""
NOBODY: Final = Caller("nobody", KnownBy.NOTHING, frozenset(), False, frozenset())
"""Who came without a key where one is asked for: does only what nobody is asked for."""
WITHOUT_KEY: Final = frozenset(one.name for one in (LOCAL, CONSOLE, NOBODY))
"""Names that no key has: what is kept of acts, and who owns an Idempotency-Key, would be told from no other."""
