"""One request for a page, as pages see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pointsman_service.api.parts import Parts
from pointsman_service.callers import Caller
from pointsman_service.dashboard.links import Links
from pointsman_service.errors import FieldError, InvalidRequest

REASON_LENGTH = 1000


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

    @property
    def links(self) -> Links:
        """From this page to others."""
        return Links(self.path.count("/"))

    def chosen(self, name: str, among: Mapping[str, str] | None = None) -> str | None:
        """A filter's value; None when it is not given, or is none of those there are: then everything is shown."""
        value = self.query.get(name)
        return value if value and (among is None or value in among) else None

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
        given = " ".join(self.form.get("reason", "").split())[:REASON_LENGTH] or otherwise
        if not given:
            raise InvalidRequest(errors=[FieldError(pointer="/reason", detail="say why")])
        return given

    def number(self, name: str, least: float, most: float) -> float:
        """A field of an act that is a number. Raises ``InvalidRequest``."""
        try:
            value = float(self.form[name])
        except (KeyError, ValueError) as error:
            raise InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail="this is no number")]) from error
        if not least <= value <= most:
            raise InvalidRequest(
                errors=[FieldError(pointer=f"/{name}", detail=f"at least {least:g}, at most {most:g}")]
            )
        return value

    def back(self, above: str, itself: str) -> str:
        """Where whoever acted goes on: the page that the form was on, by its field ``back``, or what was acted on."""
        return {"now": "", "list": above}.get(self.form.get("back", ""), itself)

    def confirmed(self, word: str) -> int | None:
        """Look that the word was typed that an act asks for which cannot be undone; how many the form said there were.

        Raises ``InvalidRequest``.
        """
        if self.form.get("typed", "").strip() != word:
            raise InvalidRequest(errors=[FieldError(pointer="/typed", detail=f"type {word} to go on")])
        count = self.form.get("count", "")
        return int(count) if count.isascii() and count.isdigit() else None
