"""One request for a page, as pages see it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from pointsman_contract.log_text import says_something
from pointsman_service.admit.keys import KEY_RULE, key_of
from pointsman_service.api.parts import Parts
from pointsman_service.callers import Caller
from pointsman_service.dashboard.links import Links
from pointsman_service.errors import FieldError, InvalidRequest, PointsmanError

REASON_LENGTH: Final = 500
"""Characters of a reason, as in the API."""
NO_REASON: Final = "no reason given, in the dashboard"
"""What is kept as the reason of a click that asks for none."""
NAME_LENGTH: Final = 200
_MOST_COUNTED: Final = 10**12
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Refused:
    """A form that was sent and came to nothing: it is shown again, as it was filled in."""

    path: str
    """Of the act, below the dashboard, quoted."""
    faults: Sequence[tuple[str, str]]
    """Each as the field that it is in, empty where it is in none, and what is wrong there."""

    @classmethod
    def by(cls, path: str, error: PointsmanError) -> Self:
        """With what an error says."""
        told = [(fault["pointer"].removeprefix("/"), fault["detail"]) for fault in error.errors]
        return cls(path, told or [("", error.detail)])


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked for, by whom, and what there is to answer it with."""

    parts: Parts
    caller: Caller
    path: str
    """Of the page, below the dashboard, quoted; empty for the first."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """What the pattern of its route took out of the path."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters that are not empty; of one given twice the last."""
    every: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same with all values of each."""
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of an act, without the token."""
    now: datetime
    live: bool = False
    """Asked for a stream, whose viewers share the answer: it depends on nothing but the path, the query, and what the
    caller may do.
    """
    root: str = ""
    """The whole address of the dashboard, as the browser knows it; only of an act."""
    refused: Refused | None = None
    """A form of this page that was sent and came to nothing; ``form`` is what it held."""

    @property
    def links(self) -> Links:
        """From this page to others."""
        return Links(self.path.count("/"))

    def chosen(self, name: str, among: Mapping[str, str] | None = None) -> str | None:
        """A filter's value; None when it is not given, or is none of those there are: then everything is shown."""
        value = self.query.get(name)
        return value if value and (among is None or value in among) else None

    def chosen_of_form(self, name: str, among: Mapping[str, str]) -> str:
        """A choice of an act's form. Raises ``InvalidRequest`` for what is none of those there are."""
        value = self.form.get(name, "")
        if value not in among:
            raise InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail="this is no choice")])
        return value

    def cursor(self) -> UUID | None:
        """Where the page of a list begins; None: at its top. Raises ``InvalidRequest``."""
        value = self.query.get("cursor")
        try:
            return None if value is None else UUID(value)
        except ValueError as error:
            fault = FieldError(pointer="/query/cursor", detail="this is no cursor of ours")
            raise InvalidRequest(errors=[fault]) from error

    def reason(self, otherwise: str | None = None) -> str:
        """Why somebody acts, in their words, or ``otherwise``. Raises ``InvalidRequest`` where there is neither."""
        given = self.said("reason", REASON_LENGTH) or otherwise
        if not given:
            raise _fault("reason", "say why")
        return given

    def reason_of(self, reason: str | None, actor: str | None) -> str:
        """Why something was so, for who makes it so again: the words of before, and whose they were if not theirs."""
        if not reason or actor is None or actor == self.caller.name:
            return reason or ""
        whose = f" (as {actor} had it)"
        return reason if reason.endswith(whose) else f"{reason[: REASON_LENGTH - len(whose)]}{whose}"

    def said(self, name: str, most: int) -> str | None:
        """A field with words for others, in one line; None: it is empty. Raises ``InvalidRequest``."""
        given = " ".join(self.form.get(name, "").split())
        if len(given) > most:
            raise _fault(name, f"at most {most:,} characters; these are {len(given):,}")
        if given and not says_something(given):
            raise _fault(name, "must say something")
        return given or None

    def key(self) -> str | None:
        """What a form is known by that is sent twice; None: it has none. Raises ``InvalidRequest``."""
        text = self.form.get("key", "")
        try:
            return key_of(text) if text else None
        except ValueError as error:
            raise _fault("key", KEY_RULE) from error

    def number(self, name: str, least: float, most: float) -> float:
        """A field of an act that is a number. Raises ``InvalidRequest``."""
        text = self.form.get(name, "").strip()
        if _NUMBER.fullmatch(text) is None:
            raise _fault(name, "this is no number, such as 2 or 0.5")
        value = float(text)
        if not least <= value <= most:
            raise _fault(name, f"at least {least:g}, at most {most:g}")
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        """The same of a whole number. Raises ``InvalidRequest``."""
        value = self.number(name, least, most)
        if not value.is_integer():
            raise _fault(name, "this is no whole number")
        return int(value)

    def back(self, above: str, itself: str) -> str:
        """Where whoever acted goes on: the page that the form was on, by its field ``back``, or what was acted on."""
        return {"now": "", "list": above}.get(self.form.get("back", ""), itself)

    def confirmed(self, word: str) -> int | None:
        """Look that the word was typed that an act asks for which cannot be undone; how many the form said there were.

        Raises ``InvalidRequest``.
        """
        if self.form.get("typed", "").strip() != word:
            raise _fault("typed", f"type {word} to go on")
        return self.whole("count", 0, _MOST_COUNTED) if self.form.get("count") else None


def _fault(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail=detail)])
