"""All task types with their figures, and one of them: where it goes, its limits, its schema, who published it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.routing import By, Decision, decide
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.windows import DAY, WINDOWS, Window
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Hit, View
from pointsman_service.dashboard.types.here import page
from pointsman_service.errors import NotFound
from pointsman_service.observe import task_types
from pointsman_service.observe.task_metrics import TaskFigures, figures

_ON_A_PAGE: Final = 100
_MOST_HITS: Final = 20
SORTS: Final[Mapping[str, str]] = {
    "name": "name",
    "runs": "most executions",
    "failures": "highest failure rate",
    "p95": "longest p95",
}
_WHY: Final[Mapping[By, str]] = {
    By.SUBMISSION: "the submission says so",
    By.ROUTE: "by a configured route",
    By.TASK_TYPE: "set by the type",
    By.PRIORITY: "by its priority",
    By.QUEUE: "as its queue has it",
    By.FALLBACK: "nothing names another",
}


@dataclass(frozen=True)
class Row:
    """One task type."""

    spec: TaskTypeSpec
    where: Decision
    figures: TaskFigures | None
    """None: none was submitted or run in the span."""


@page.shows()
async def show_list(ask: Ask) -> View:
    """A page of task types."""
    window = _window(ask)
    catalogue = ask.parts.catalogue
    if not len(catalogue):
        await catalogue.refresh()
    sums = await _figures(ask, window)
    sought = ask.query.get("q", "")
    sort = ask.chosen("sort", SORTS) or "name"
    names = [name for name in catalogue.names if sought.lower() in name.lower()]
    ordered = sorted(names, key=lambda name: (_ORDERS[sort](sums.get(name)), name))
    cursor = ask.query.get("cursor")
    begin = ordered.index(cursor) + 1 if cursor in ordered else 0
    shown = ordered[begin : begin + _ON_A_PAGE]
    known = [found for name in shown if (found := catalogue.known(name)) is not None]
    kept = {"q": sought, "sort": ask.chosen("sort", SORTS), "window": ask.chosen("window", _WORDS)}
    return View(
        template="types/list.html",
        title=some(len(names), "type"),
        values={
            "rows": [
                Row(one.spec, decide(ask.parts.settings, one.spec, None, None), sums.get(one.spec.name))
                for one in known
            ],
            "sought": sought,
            "sort": sort,
            "sorts": SORTS,
            "in_all": len(names),
            "window": window,
            "words": _WORDS,
            "chips": [(f"“{sought}”", ask.links("types", **(kept | {"q": None})))] if sought else [],
            "first": ask.links("types", **kept) if begin else None,
            "following": ask.links("types", **kept, cursor=shown[-1]) if begin + _ON_A_PAGE < len(ordered) else None,
        },
    )


@page.shows("{name}")
async def show_type(ask: Ask) -> View:
    """One task type."""
    name: str = ask.names["name"]
    window = _window(ask)
    found = await task_types.find(ask.parts.store, name)
    if found is None:
        raise NotFound("No worker has published a task type of this name.")
    sums = await _figures(ask, window)
    where = decide(ask.parts.settings, found.spec, None, None)
    return View(
        template="types/type.html",
        title=name,
        values={
            "type": found,
            "spec": found.spec,
            "where_to": where,
            "queue_why": _WHY[where.queue_by],
            "priority_why": _WHY[where.priority_by],
            "figures": sums.get(name),
            "window": window,
            "windows": [
                (one, ask.links("types", name, window=None if one is DAY else one.word)) for one in WINDOWS.values()
            ],
            "node_of": node_of,
        },
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """Task types by their names."""
    low = words.lower()
    names = [name for name in ask.parts.catalogue.names if low in name.lower()][:_MOST_HITS]
    return [Hit(name, place("types", name), "task type") for name in names]


def node_of(owner: str) -> str:
    """The name of the node of which this is one life."""
    return owner.partition("#")[0]


_WORDS: Final[Mapping[str, str]] = {one.word: one.label for one in WINDOWS.values()}


def _window(ask: Ask) -> Window:
    return WINDOWS[ask.chosen("window", _WORDS) or DAY.word]


async def _figures(ask: Ask, window: Window) -> Mapping[str, TaskFigures]:
    found = await ask.parts.views.task_metrics.windowed("task_type", window.seconds)
    return {one.task_type: figures(one) for one in found.sums if one.task_type is not None}


def _highest(figure: Callable[[TaskFigures], float | None]) -> Callable[[TaskFigures | None], float]:
    return lambda found: -((None if found is None else figure(found)) or 0.0)


_ORDERS: Final[Mapping[str, Callable[[TaskFigures | None], float]]] = {
    "name": lambda _: 0.0,
    "runs": _highest(lambda found: found.execution_count),
    "failures": _highest(lambda found: found.failure_rate),
    "p95": _highest(lambda found: found.run_seconds.p95),
}
