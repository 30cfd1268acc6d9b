"""The list of groups, what changed last first: narrowed by what is in its address, a page at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pointsman_service.api.problems.translation import in_time
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.errors.here import USUAL_WINDOW, WINDOW_WORDS, WINDOWS, page, window_of
from pointsman_service.dashboard.errors.standing import limit_of, name_of, word_of
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Hit, View
from pointsman_service.errors import FieldError, InvalidRequest, UnknownErrorGroup
from pointsman_service.observe.error_reader import Wanted
from pointsman_service.observe.errors import ErrorGroup, shown_to
from pointsman_service.operate.judge_errors import GroupState

_ROWS: Final = 50
_STATES: Final[Mapping[str, str]] = {"all": "all"} | {str(state): str(state) for state in GroupState}
_ORDERS: Final[Mapping[str, str]] = {"changed": "newest change first", "most": "most failures first"}
_TEXTS: Final[Mapping[str, int]] = {"task_type": 200, "error_type": 300, "queue": 63, "breaker": 1000}
_CHIPS: Final = {"task_type": "{}", "error_type": "{}", "queue": "queue {}", "breaker": "counts for {}"}
_NARROW: Final = "narrow it, best by a shorter span of time"


@dataclass(frozen=True)
class Line:
    """A group as the list shows it."""

    group: ErrorGroup
    name: str
    word: str
    tone: str
    limit: str


@dataclass(frozen=True)
class Tab:
    """Groups in one state, or all."""

    word: str
    href: str
    chosen: bool


def filter_of(ask: Ask) -> dict[str, Any]:
    """What the address narrows the list to, as links have it."""
    found: dict[str, Any] = {name: ask.query.get(name, "")[:most] or None for name, most in _TEXTS.items()}
    for name, among, usual in (("state", _STATES, "all"), ("window", WINDOW_WORDS, USUAL_WINDOW)):
        found[name] = ask.chosen(name, among)
        if found[name] == usual:
            found[name] = None
    order = ask.chosen("order", _ORDERS)
    return found | {"order": None if order == "changed" else order}


@page.shows()
async def show_list(ask: Ask) -> View:
    """A page of groups."""
    query = filter_of(ask)
    window = window_of(ask)
    state = query["state"]
    wanted = Wanted(
        window_seconds=WINDOWS[window],
        state=None if state is None else GroupState(state),
        task_type=query["task_type"],
        error_type=query["error_type"],
        queue=query["queue"],
        blamed=query["breaker"],
        most_first=query["order"] == "most",
        after=_after(ask),
    )
    async with in_time(_NARROW):
        found = await ask.parts.views.errors.page(wanted, _ROWS)
    lines = [_line(ask, group) for group in found.groups]
    news = sum(line.word in ("new", "back again") for line in lines)
    following = None
    if found.following is not None:
        place_, group_id = found.following
        following = ask.links("errors", **query, cursor=f"{place_}.{group_id.hex}")
    return View(
        template="errors/list.html",
        title=f"{news} new" if news else ("nothing new" if lines else "none"),
        says=f"{some(news, 'error is', 'errors are')} new or back again." if news else "No error is new.",
        values={
            "lines": lines,
            "query": query,
            "narrowed": any(query[name] for name in (*_TEXTS, "state")),
            "tabs": [
                Tab(
                    word,
                    ask.links("errors", **query | {"state": None if word == "all" else word}),
                    word == (state or "all"),
                )
                for word in _STATES
            ],
            "chips": [
                (_CHIPS[name].format(query[name]), ask.links("errors", **query | {name: None}))
                for name in _TEXTS
                if query[name]
            ],
            "window": window,
            "windows": WINDOW_WORDS,
            "orders": _ORDERS,
            "order": query["order"] or "changed",
            "queue_names": {spec.name: spec.name for spec in ask.parts.settings.topology.queues},
            "type_names": ask.parts.catalogue.names[:500],
            "first": None if wanted.after is None else ask.links("errors", **query),
            "following": following,
        },
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """A group by its id."""
    try:
        whole = await ask.parts.views.errors.find(UUID(words), WINDOWS[USUAL_WINDOW])
    except (ValueError, UnknownErrorGroup):
        return []
    group = shown_to(whole.group, reads_payloads=ask.caller.reads_payloads)
    return [Hit(name_of(group), place("errors", group.id), "error", is_it=True)]


def _line(ask: Ask, group: ErrorGroup) -> Line:
    group = shown_to(group, reads_payloads=ask.caller.reads_payloads)
    word, tone = word_of(group)
    return Line(group, name_of(group), word, tone, limit_of(group.ignored, ask.now))


def _after(ask: Ask) -> tuple[int, UUID] | None:
    value = ask.query.get("cursor")
    if value is None:
        return None
    number, _, group = value.partition(".")
    try:
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise ValueError(value)
        return int(number), UUID(hex=group)
    except ValueError as error:
        fault = FieldError(pointer="/query/cursor", detail="this is no cursor of ours")
        raise InvalidRequest(errors=[fault]) from error
