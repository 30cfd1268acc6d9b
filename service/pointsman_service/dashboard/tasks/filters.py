"""The filter of a list of tasks, as it stands in the address: the parameters of ``GET /v1/tasks``, and no others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pointsman_contract.states import TaskState
from pointsman_service.access.scopes import KeyScope
from pointsman_service.api.requests.filters import LONGEST_HELD_REASON, LONGEST_WORKER, MOST_ATTEMPTS, readings_of_tags
from pointsman_service.api.requests.ids import id_of
from pointsman_service.api.requests.parameters import bounded
from pointsman_service.api.requests.positions import position_of
from pointsman_service.callers import KnownBy
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.moments import machine, moment_of
from pointsman_service.errors import FieldError, ScopeMissing
from pointsman_service.observe.tasks.lists import Position, Sort, TaskFilter

MOST_ROWS: Final = 200
ROWS: Final = 50
SORTS: Final[Mapping[str, str]] = {"submitted": "submitted last", "finished": "ended last"}
REPLAYED: Final[Mapping[str, str]] = {"true": "run again", "false": "not run again"}
MOMENTS: Final = ("submitted_after", "submitted_before", "finished_after", "finished_before")
_TEXTS: Final[Mapping[str, int]] = {
    "queue": 63,
    "task_type": 200,
    "caller": 255,
    "fairness_key": 64,
    "worker": LONGEST_WORKER,
    "held_reason": LONGEST_HELD_REASON,
    "error_type": 300,
    "error_message": 200,
}
_NUMBERS: Final = ("attempts", "attempts_at_least")
_WORDS: Final[Mapping[str, str]] = {
    "state": "{}",
    "queue": "queue {}",
    "task_type": "{}",
    "caller": "by {}",
    "fairness_key": "fairness key {}",
    "worker": "on {}",
    "held_reason": "held by {}",
    "attempts": "attempts: {}",
    "attempts_at_least": "attempts: {} or more",
    "error_type": "{}",
    "error_group": "error group {}",
    "error_message": "error with “{}”",
    "replayed": "{}",
    "submitted_after": "submitted from {}",
    "submitted_before": "submitted before {}",
    "finished_after": "ended from {}",
    "finished_before": "ended before {}",
}
FILTERS: Final = (*_WORDS, "tag")
_PAYLOADS: Final = frozenset({"tag", "error_message", "fairness_key"})
_LEAST_MESSAGE: Final = 3
_MOST_TAGS: Final = 20


@dataclass(frozen=True)
class Chosen:
    """A filter that was asked for, and what is wrong with it."""

    wanted: TaskFilter
    given: Mapping[str, str]
    """What narrows the list but its tags, as links have it."""
    tags: Sequence[str]
    sort: Sort
    after: Position | None
    limit: int
    faults: Sequence[FieldError]

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.given or self.tags)

    def query(self, **other: Any) -> dict[str, Any]:
        """Its parameters without the cursor, for links; ``other`` are put in their place, None leaves one out."""
        order = {} if self.sort is Sort.SUBMITTED else {"sort": str(self.sort)}
        rows = {} if self.limit == ROWS else {"limit": self.limit}
        return {**self.given, "tag": list(self.tags), **order, **rows} | other

    def chips(self, ask: Ask) -> list[tuple[str, str]]:
        """Each thing that it is narrowed to, in words, and the link to the list without that."""
        found = [
            (words_of(name, value), ask.links("tasks", **self.query(**{name: None})))
            for name, value in self.given.items()
            if name != "state"
        ]
        for tag in self.tags:
            rest = [one for one in self.tags if one != tag]
            found.append((tag, ask.links("tasks", **self.query(tag=rest))))
        return found


def words_of(name: str, value: str) -> str:
    """One narrowing in a few words."""
    if name in MOMENTS:
        value = value.replace("T", " ").replace("Z", " UTC").replace(".000", "")
    if name == "replayed":
        value = REPLAYED[value]
    return _WORDS[name].format(value) if name in _WORDS else f"{name} {value}"


def chosen_of(ask: Ask) -> Chosen:
    """The filter in the address of a request. What is wrong with it is in ``faults``, and narrows nothing. Raises
    ``ScopeMissing`` where it asks for payloads that the caller may not see.
    """
    if not ask.caller.reads_payloads and not _PAYLOADS.isdisjoint(ask.query):
        raise ScopeMissing.of(KeyScope.PAYLOAD_READ, roles=ask.caller.known_by is KnownBy.OIDC)
    reading = _Reading(ask.query)
    fields: dict[str, Any] = {name: reading.text(name, most) for name, most in _TEXTS.items()}
    fields |= {name: reading.number(name) for name in _NUMBERS}
    fields |= {name: reading.moment(name) for name in MOMENTS}
    fields["state"] = reading.made("state", TaskState, "is no state of a task")
    fields["error_group"] = reading.made("error_group", _id, "is no id")
    fields["replayed"] = reading.made("replayed", lambda text: {"true": True, "false": False}[text], "true or false")
    if fields["error_message"] is not None and len(fields["error_message"]) < _LEAST_MESSAGE:
        reading.fault("error_message", f"at least {_LEAST_MESSAGE} characters")
        fields["error_message"] = None
    tags = list(dict.fromkeys(ask.every.get("tag", ())))[:_MOST_TAGS]
    fields["tags"] = readings_of_tags(tags, reading.faults)
    after = reading.made("cursor", _position, "is no cursor of this list")
    sort = reading.made("sort", Sort, "submitted or finished") or Sort.SUBMITTED
    limit = reading.number("limit", 1, MOST_ROWS)
    known = {*FILTERS, "cursor", "sort", "limit"}
    for name in ask.query:
        if name not in known:
            reading.fault(name, "there is no such filter")
        elif name != "tag" and len(ask.every.get(name, ())) > 1:
            reading.fault(name, "is given more than once")
    wanted = TaskFilter(**fields)
    return Chosen(
        wanted=wanted,
        given=_given(fields),
        tags=tags,
        sort=sort if after is None else after.sort,
        after=after,
        limit=limit or ROWS,
        faults=reading.faults,
    )


def _given(fields: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name in _WORDS:
        value = fields[name]
        if isinstance(value, bool):
            found[name] = str(value).lower()
        elif isinstance(value, datetime):
            found[name] = machine(value)
        elif value is not None:
            found[name] = str(value)
    return found


class _Reading:
    """Reads parameters, and gathers what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.faults: list[FieldError] = []

    def fault(self, name: str, detail: str) -> None:
        """That one is wrong."""
        self.faults.append(FieldError(pointer=f"/query/{name}", detail=detail))

    def made(self, name: str, make: Callable[[str], Any], otherwise: str) -> Any:
        """What ``make`` makes of it; None, and a fault, where it cannot."""
        text = self._query.get(name)
        if text is None:
            return None
        try:
            return make(text)
        except (KeyError, ValueError):
            self.fault(name, otherwise)
            return None

    def text(self, name: str, most: int) -> str | None:
        """Text of so many characters at most."""
        text = self._query.get(name)
        if text is not None and len(text) > most:
            self.fault(name, f"at most {most} characters")
            return None
        return text

    def number(self, name: str, least: int = 0, most: int = MOST_ATTEMPTS) -> int | None:
        """A whole number."""

        def whole(text: str) -> int:
            if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)) or not least <= int(text) <= most:
                raise ValueError
            return int(text)

        found: int | None = self.made(name, whole, f"a whole number, at least {least}, at most {most}")
        return found

    def moment(self, name: str) -> datetime | None:
        """A moment; without an offset it is one of UTC, which is how a browser's field writes it."""
        found: datetime | None = self.made(name, moment_of, "a date and a time, as 2026-11-29T08:30")
        return bounded(found)


def _id(text: str) -> UUID:
    found = id_of(text)
    if found is None:
        raise ValueError(text)
    return found


def _position(text: str) -> Position:
    found = position_of(text)
    if found is None:
        raise ValueError(text)
    return found
