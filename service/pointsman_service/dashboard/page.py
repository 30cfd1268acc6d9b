"""What a page is made of: its routes, what it shows, and what it does."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from re import Pattern
from typing import Any

from starlette.convertors import Convertor
from starlette.routing import compile_path

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import Ask
from pointsman_service.live.topics import Topic


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows: a template and its values.

    While somebody looks, blocks of the template whose names begin with ``live_`` are rendered again and again, each as
    the element with the id ``<name>`` (underscores as hyphens).
    """

    template: str
    title: str
    """The state in a few words, "2 open": the tab says it before the name of the page."""
    says: str = ""
    """The same as a sentence, told to who cannot see it whenever it changes."""
    values: Mapping[str, Any] = field(default_factory=dict)
    missing: Sequence[str] = ()
    """What could not be asked, as sentences; the rest of the page is shown all the same."""
    status: int = 200
    as_of: datetime | None = None
    """When what is shown was looked at; None: when it was asked for."""
    recorded_up_to: datetime | None = None
    """What was reported before is in it, where the page finds that out itself (``own_times``)."""
    instead: str = ""
    """The path of another page, made by ``links.place``, that is shown in the place of this one."""


@dataclass(frozen=True)
class Undo:
    """What takes an act back: the path of another act, and its fields."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    label: str = "Undo"


@dataclass(frozen=True, kw_only=True)
class Done:
    """An act was done: what is said of it on the page that is shown next."""

    text: str
    path: str
    """Of that page, made by ``links.place``."""
    undo: Undo | None = None


@dataclass(frozen=True)
class Hit:
    """Something that a search found."""

    label: str
    path: str
    kind: str
    is_it: bool = False
    """Nothing else can have been meant: alone it is shown at once."""


@dataclass(frozen=True)
class Pace:
    """When a page that somebody looks at is looked at again."""

    topics: frozenset[Topic] = frozenset(Topic)
    """When something of these changes."""
    every_seconds: float = 5.0
    """And so long after that when nothing does, for what changes with time alone: ever later while the page stays the
    same."""
    most_seconds: float = 120.0
    """But not later than that."""
    least_seconds: float = 0.0
    """Not more often, whatever changes."""


Shows = Callable[[Ask], Awaitable[View]]
Acts = Callable[[Ask], Awaitable["Done | View"]]
"""A view where nothing was done: the form again, with what is wrong with it."""
Finds = Callable[[Ask, str], Awaitable[Sequence[Hit]]]


@dataclass(frozen=True)
class Route:
    """One path of a page: what is shown there, or done."""

    page: "Page"
    pattern: Pattern[str]
    convertors: Mapping[str, Convertor[Any]]
    shows: Shows | None = None
    acts: Acts | None = None
    kind: str = ""
    """Of the act: the right that it needs."""
    pace: Pace = Pace()

    def match(self, path: str) -> dict[str, Any] | None:
        """What the pattern takes out of a path; None when it does not fit."""
        found = self.pattern.match("/" + path)
        if found is None:
            return None
        return {name: self.convertors[name].convert(value) for name, value in found.groupdict().items()}


class Page:
    """A page: a folder of the dashboard with its routes.

    ``name`` is its path and that of its folder, ``label`` stands in the navigation, ``question`` is what it answers,
    and ``g`` with ``key`` leads to it. ``pace``: how often is looked at what is live on it while somebody looks. A page
    without a label is not in the navigation. ``own_times``: its views say themselves up to when is recorded, and that a
    server is away. ``reads``: the scope that it takes; None: none but to be known.
    """

    def __init__(
        self,
        name: str,
        label: str,
        *,
        question: str,
        key: str = "",
        pace: Pace = Pace(),
        own_times: bool = False,
        reads: KeyScope | None = None,
    ) -> None:
        self.name = name
        self.label = label
        self.question = question
        self.key = key
        self.pace = pace
        self.own_times = own_times
        self.reads = reads
        self.routes: list[Route] = []
        self.finder: Finds | None = None

    def shows(self, pattern: str = "", *, pace: Pace | None = None) -> Callable[[Shows], Shows]:
        """Decorator: what is shown at ``<name>/<pattern>``, a pattern as Starlette's: ``{alert_id:uuid}``. ``pace``:
        another one than the page has.
        """

        def add(function: Shows) -> Shows:
            self.routes.append(Route(self, *self._compiled(pattern), shows=function, pace=pace or self.pace))
            return function

        return add

    def acts(self, pattern: str, kind: str) -> Callable[[Acts], Acts]:
        """Decorator: what is done by a form sent to ``<name>/<pattern>``, by whoever may do acts of that kind. A path
        whose form may be shown again is one that is shown, too.
        """

        def add(function: Acts) -> Acts:
            self.routes.append(Route(self, *self._compiled(pattern), acts=function, kind=kind))
            return function

        return add

    def finds(self, function: Finds) -> Finds:
        """Decorator: what of this page a search for some words finds."""
        self.finder = function
        return function

    def _compiled(self, pattern: str) -> tuple[Pattern[str], Mapping[str, Convertor[Any]]]:
        path = "/".join(part for part in (self.name, pattern) if part)
        compiled, _, convertors = compile_path("/" + path)
        return compiled, convertors


@dataclass(frozen=True)
class Shown:
    """A view, and when what it shows was asked for."""

    view: View
    page: Page
    as_of: datetime
    recorded_up_to: datetime | None
