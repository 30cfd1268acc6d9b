"""What an examination says of one thing."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pointsman_contract.log_text import in_one_line


class Level(StrEnum):
    """How one thing is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be asked. What kept it from being asked is a finding of its own."""
    WARNING = "warning"
    """It goes on, and somebody should look in the morning."""
    FAULT = "fault"
    """Something stands still, or what was accepted may be lost."""


_EXIT_STATUS = {Level.OK: 0, Level.UNKNOWN: 0, Level.WARNING: 1, Level.FAULT: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: str
    """What was looked at: the part, a dot, and what of it."""
    level: Level
    says: str
    what_to_do: str = ""
    """Empty where nothing is to be done."""

    def __post_init__(self) -> None:
        for name in ("says", "what_to_do"):
            object.__setattr__(self, name, in_one_line(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for facts that could not be asked."""

    why: str
    """In words, without a secret."""


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, says)


def unknown(check: str, facts: Unknown) -> Finding:
    """It could not be asked."""
    return Finding(check, Level.UNKNOWN, f"not known: {facts.why}")


def warning(check: str, says: str, what_to_do: str) -> Finding:
    """Somebody should look."""
    return Finding(check, Level.WARNING, says, what_to_do)


def fault(check: str, says: str, what_to_do: str) -> Finding:
    """Something stands still, or may be lost."""
    return Finding(check, Level.FAULT, says, what_to_do)


def exit_status(findings: Iterable[Finding]) -> int:
    """0 when all is well, 1 with a warning, 2 with a fault."""
    return max((_EXIT_STATUS[one.level] for one in findings), default=0)
