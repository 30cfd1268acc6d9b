"""What is wrong, as the rules say it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pointsman_contract.log_text import in_one_line
from pointsman_contract.sealing import hidden
from pointsman_service.alert.kinds import KINDS, Rule, Severity

_EASED = 0.9
"""An open alert stays until its value is below this part of the limit, so that a value at the limit is one alert."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a value is an alert. Settings."""

    breaker_open_seconds: float
    sla_objective: float
    dead_letters: int
    recorder_lag_seconds: float
    dispatcher_lag_seconds: float
    memory_percent: int
    stream_entries: int
    full_percent: int = 70
    """Of Redis's memory: from there on nothing is sent."""
    role_missing_seconds: float = 10.0
    """So long nobody has a role, or works on a queue."""
    sla_objectives: Mapping[str, float] = field(default_factory=dict)
    """Of the queues that have an objective of their own."""

    def objective_of(self, queue: str) -> float:
        """The share of a queue's starts that should be within its target."""
        return self.sla_objectives.get(queue, self.sla_objective)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now."""

    rule: Rule
    subject: str
    """What it is about; with the rule it names the cause."""
    summary: str
    """One line, whatever others wrote that it tells."""
    link: str
    """A path of the API."""
    since: float | None = None
    """Unix seconds; None: as far as we know, now."""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    severity: Severity | None = None
    """None: that of the rule."""
    certain: bool = True
    """False: it may be so, and is no alert yet; what it leads to is not told meanwhile."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", hidden(in_one_line(self.summary)))

    @property
    def key(self) -> str:
        """The cause: there is one open alert for each."""
        return key_of(self.rule, self.subject)


def key_of(rule: str, subject: str) -> str:
    """The key of an alert."""
    return f"{rule}:{subject}" if subject else str(rule)


def severity_of(condition: Condition) -> Severity:
    """Who has to know."""
    return condition.severity or KINDS[condition.rule].severity


def reaches(condition: Condition, open_keys: Collection[str]) -> bool:
    """Whether the value is at its limit, or near it when there is an alert already."""
    assert condition.value is not None
    assert condition.limit is not None
    return condition.value >= condition.limit * (_EASED if condition.key in open_keys else 1.0)
