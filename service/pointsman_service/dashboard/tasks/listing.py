"""The list of tasks: filtered by what is in its address, a page at a time, and counted as far as that goes at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pointsman_contract.states import UNFINISHED, TaskState
from pointsman_service.admit.names import unknown_names
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.positions import cursor_after
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import MOST_COUNTED
from pointsman_service.dashboard.components.moments import local
from pointsman_service.dashboard.page import Hit, View
from pointsman_service.dashboard.tasks.commands import submit_command
from pointsman_service.dashboard.tasks.filters import REPLAYED, SORTS, Chosen, chosen_of
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.offers import offers_of
from pointsman_service.dashboard.tasks.searching import hits_of
from pointsman_service.errors import ServiceError
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.tasks.in_short import InShort, in_short
from pointsman_service.observe.tasks.lists import Counted, Sort, TaskPage
from pointsman_service.observe.tasks.task import Task

_NARROW: Final = "narrow it, best by when the tasks were submitted"
_COUNT_SECONDS: Final = 0.012
_MOST_NAMES: Final = 300
"""Of task types that a field offers."""


@dataclass(frozen=True)
class Row:
    """A task in the list."""

    task: Task
    short: InShort


@dataclass(frozen=True)
class Tab:
    """A state to narrow the list to."""

    word: str
    href: str
    chosen: bool
    count: int | None
    """Of unfinished tasks, whose number is kept; None where it is not known."""


@page.shows()
async def show_list(ask: Ask) -> View:
    """A page of tasks."""
    chosen = chosen_of(ask)
    found, counted = (TaskPage([], None, None), None) if chosen.faults else await _read(ask, chosen)
    # Of a list that is looked on no more is told of queues than why one of its tasks waits.
    needs_queues = not ask.live or any(task.state is TaskState.QUEUED for task in found.tasks)
    queues = await _queues(ask) if needs_queues else {}
    rows = [
        Row(task, in_short(task, queues.get(task.queue), reads_payloads=ask.caller.reads_payloads))
        for task in found.tasks
    ]
    state = chosen.wanted.state
    unknown = [] if rows or found.following else await _unknown(ask, chosen)
    return View(
        template="tasks/list.html",
        title=", ".join([str(state)] if state else ["all"] if not chosen.narrows else ["filtered"]),
        values={
            "rows": rows,
            "chosen": chosen,
            "by_finish": chosen.sort is Sort.FINISHED,
            "searched_until": found.searched_until,
            "first": None if chosen.after is None else ask.links("tasks", **chosen.query()),
            "following": None
            if found.following is None
            else ask.links("tasks", **chosen.query(cursor=cursor_after(found.following))),
            "counted": counted,
            "most_counted": MOST_COUNTED,
            "tabs": _tabs(ask, chosen, queues),
            "chips": chosen.chips(ask),
            "offers": offers_of(ask, chosen),
            "unknown": unknown,
            "queue_names": {spec.name: spec.name for spec in ask.parts.settings.topology.queues}
            | ({chosen.given["queue"]: chosen.given["queue"]} if "queue" in chosen.given else {}),
            "type_names": ask.parts.catalogue.names[:_MOST_NAMES],
            "sorts": SORTS,
            "replayed": REPLAYED,
            "local": local,
            "more": any(name not in ("state", "queue", "task_type", "error_message") for name in chosen.given)
            or chosen.sort is Sort.FINISHED,
            "submit": submit_command(ask),
        },
        status=422 if chosen.faults else 200,
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """A task by its id; else lists that are narrowed to what was looked for."""
    return await hits_of(ask, words)


async def _read(ask: Ask, chosen: Chosen) -> tuple[TaskPage, Counted | None]:
    lists = ask.parts.views.task_lists
    async with ask.parts.pages.place(), in_time(_NARROW):
        found = await lists.page(chosen.wanted, chosen.limit, chosen.after, chosen.sort)
        if ask.live:
            # It stands where nothing is live, and says when it was counted.
            return found, None
        told = found.counted if chosen.after is None else None
        by_finish, wanted = chosen.sort is Sort.FINISHED, chosen.wanted
        if told is not None and (told.is_all or not by_finish):
            return found, told
        # What is counted is counted by submission.
        if by_finish and (told is not None or not wanted.only_ended):
            return found, None
        return found, await lists.count(wanted, MOST_COUNTED, _COUNT_SECONDS)


async def _queues(ask: Ask) -> Mapping[str, QueueFigures]:
    try:
        return {queue.name: queue for queue in await ask.parts.views.queues.read()}
    except ServiceError:
        # Rows are shown without what their queues add to them.
        return {}


def _tabs(ask: Ask, chosen: Chosen, queues: Mapping[str, QueueFigures]) -> list[Tab]:
    query = chosen.query()
    others = [name for name in chosen.given if name not in ("state", "queue")]
    counts: dict[str, int] = {}
    if queues and not others and not chosen.tags:
        wanted = chosen.wanted.queue
        of = [queue for name, queue in queues.items() if wanted in (None, name)]
        counts = {state: sum(queue.states.get(state, 0) for queue in of) for state in UNFINISHED}
    found = [Tab("all", ask.links("tasks", **(query | {"state": None})), chosen.wanted.state is None, None)]
    for state in TaskState:
        href = ask.links("tasks", **(query | {"state": state}))
        found.append(Tab(str(state), href, chosen.wanted.state is state, counts.get(state)))
    return found


async def _unknown(ask: Ask, chosen: Chosen) -> list[str]:
    """What in the filter names nothing that there is."""
    wanted = chosen.wanted
    faults = await unknown_names(
        ask.parts.catalogue, ask.parts.settings.topology, queue=wanted.queue, task_type=wanted.task_type
    )
    return [f"{fault['pointer'].removeprefix('/')}: {fault['detail']}" for fault in faults]
