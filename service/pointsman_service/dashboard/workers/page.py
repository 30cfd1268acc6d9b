"""Workers: pools and how busy they are, each node with what it runs; take one off its queues, and let it back."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from pointsman_contract.message import VERSION
from pointsman_contract.states import TaskState
from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.components.charts import Chart, Line, chart
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.prose import ended
from pointsman_service.dashboard.components.windows import HOUR, WINDOWS, Window
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Hit, Pace, Page, Undo, View
from pointsman_service.dashboard.workers.nodes import Node, Pool, nodes_of, pools_of
from pointsman_service.errors import ServiceError, UnknownWorker
from pointsman_service.live.topics import Topic
from pointsman_service.observe import history
from pointsman_service.observe.history import History
from pointsman_service.observe.tasks.lists import Sort, TaskFilter
from pointsman_service.observe.tasks.task import Task
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.operate.act import ActKind

page = Page(
    "workers",
    "Workers",
    key="w",
    question="Who works, who is silent, who is busy with what?",
    pace=Pace(frozenset({Topic.TASKS, Topic.BREAKERS})),
    reads=KeyScope.WORKERS_READ,
)

LASTS: Final[Mapping[str, str]] = {
    "": "until it is admitted",
    "900": "15 min",
    "3600": "1 h",
    "86400": "1 day",
}
"""What an ejection lasts, by seconds."""
_MOST_RUNS: Final = 200
_RUNS_OF_ONE: Final = 100
_LONGEST_SECONDS: Final = 366 * 86_400.0


@page.shows()
async def show_list(ask: Ask) -> View:
    """Every pool and every worker that was seen within the hour."""
    workers, runs, usual, queues, broker = await asyncio.gather(
        _workers(ask), _runs(ask, None), _usual(ask), ask.parts.views.queues.read(), ask.parts.views.broker.state()
    )
    nodes = nodes_of(workers, runs or (), usual, ask.now)
    pools = pools_of(ask.parts.settings.topology.pools, nodes, {queue.name for queue in queues if queue.depth})
    return View(
        template="workers/list.html",
        title=_title(nodes),
        says=_says(nodes, pools),
        missing=await _missing(ask, runs),
        values={
            "nodes": nodes,
            "beats_known": broker.up,
            "pools": pools,
            "charts": [one for one in await _charts(ask, HOUR, None) if one.is_known],
            "ours": VERSION,
            "capped": runs is not None and len(runs) == _MOST_RUNS,
            "most_runs": _MOST_RUNS,
        },
    )


@page.shows("{name}")
async def show_worker(ask: Ask) -> View:
    """One worker, with all of its lives that are known."""
    name: str = ask.names["name"]
    workers, runs, usual, broker = await asyncio.gather(
        _workers(ask), _runs(ask, name), _usual(ask), ask.parts.views.broker.state()
    )
    lives = nodes_of([one for one in workers if one.name == name], runs or (), usual, ask.now)
    if not lives:
        raise UnknownWorker("No worker of this name was seen within the last hour.")
    node = max(lives, key=lambda one: (one.worker.live is True, one.worker.started_at))
    window = WINDOWS[ask.chosen("window", {word: word for word in WINDOWS}) or HOUR.word]
    return View(
        template="workers/worker.html",
        title=f"{node.state.replace('_', ' ')}: {name}",
        says=f"{name} is {node.state.replace('_', ' ')}.",
        missing=await _missing(ask, runs),
        values={
            "node": node,
            "beats_known": broker.up,
            "worker": node.worker,
            "older": [one for one in lives if one is not node],
            "charts": await _charts(ask, window, node.worker.pool),
            "window": window,
            "windows": [
                (one, ask.links("workers", name, window=None if one is HOUR else one.word)) for one in WINDOWS.values()
            ],
            "lasts": LASTS,
            "ours": VERSION,
        },
    )


@page.acts("{name}/eject", ActKind.EJECT)
async def eject(ask: Ask) -> Done:
    """Take it off its queues; what it runs goes on."""
    name: str = ask.names["name"]
    seconds = ask.number("seconds", 1, _LONGEST_SECONDS) if ask.form.get("seconds") else None
    reason = ask.reason(NO_REASON)
    before = await _before(ask, name)
    done = await ask.parts.ejector.eject(ask.caller, name, reason, seconds)
    warning = f" {done.warning}" if done.warning else ""
    again = None if before is None else _ejected_again(ask, before)
    return Done(
        text=f"{name} is taken off its queues: {ended(reason)} What it runs goes on.{warning}",
        path=_after(ask, name),
        undo=again or Undo(place("workers", name, "admit"), {"back": ask.form.get("back", "")}),
    )


@page.acts("{name}/admit", ActKind.ADMIT)
async def admit(ask: Ask) -> Done:
    """Let it back for good."""
    name: str = ask.names["name"]
    reason = ask.reason(NO_REASON)
    before = await _before(ask, name)
    await ask.parts.ejector.admit(ask.caller, name, reason)
    return Done(
        text=f"{name} takes from its queues again.",
        path=_after(ask, name),
        undo=None if before is None else _ejected_again(ask, before),
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """Workers by their names."""
    low = words.lower()
    names = dict.fromkeys(one.name for one in await ask.parts.views.workers.read() if low in one.name.lower())
    return [Hit(name, place("workers", name), "worker") for name in names]


async def _workers(ask: Ask) -> Sequence[WorkerFigures]:
    """Who has just acted sees what came of it: a kept answer is for those who look on."""
    watch = ask.parts.views.workers
    return await (watch.read() if ask.live else watch.look())


async def _before(ask: Ask, name: str) -> WorkerFigures | None:
    """As it is before something is done to it; None: it was not seen within the hour."""
    lives = [one for one in await ask.parts.views.workers.look() if one.name == name]
    return max(lives, key=lambda one: (one.live is True, one.started_at), default=None)


def _ejected_again(ask: Ask, before: WorkerFigures) -> Undo | None:
    """What takes it off its queues as it was, for the time that it had left; None: it was on them."""
    if not before.ejected:
        return None
    until = before.ejected_until
    left = "" if until is None else f"{max((until - ask.now).total_seconds(), 1.0):.0f}"
    fields = {"back": ask.form.get("back", ""), "reason": before.ejected_reason or "", "seconds": left}
    return Undo(place("workers", before.name, "eject"), fields)


async def _runs(ask: Ask, name: str | None) -> Sequence[Task] | None:
    """What runs, that which was submitted last first; None: not known now."""
    wanted = TaskFilter(state=TaskState.RUNNING, worker=name)
    try:
        async with ask.parts.pages.place():
            most = _MOST_RUNS if name is None else _RUNS_OF_ONE
            return (await ask.parts.views.task_lists.page(wanted, most, None, Sort.SUBMITTED)).tasks
    except ServiceError:
        return None


async def _usual(ask: Ask) -> Mapping[str, float]:
    return await ask.parts.views.explainer.usual.p95_by_type()


async def _missing(ask: Ask, runs: Sequence[Task] | None) -> Sequence[str]:
    state = await ask.parts.views.broker.state()
    told = [] if state.up else ["Redis does not answer: how busy workers are is not known now."]
    return told if runs is not None else [*told, "What runs could not be looked up in time."]


def _after(ask: Ask, name: str) -> str:
    return ask.back(place("workers"), place("workers", name))


def _title(nodes: Sequence[Node]) -> str:
    if any(node.worker.live is None for node in nodes):
        return "not known now"
    silent = sum(node.state == "silent" for node in nodes)
    return f"{silent} silent" if silent else some(sum(node.worker.live is True for node in nodes), "live", "live")


def _says(nodes: Sequence[Node], pools: Sequence[Pool]) -> str:
    silent = [node.worker.name for node in nodes if node.state == "silent"]
    if not all(pool.is_known for pool in pools):
        return "Which workers live is not known now."
    empty = [pool.name for pool in pools if pool.live == 0]
    told = [f"{name} is silent" for name in silent] + [f"pool {name} has no live worker" for name in empty]
    return f"{'; '.join(told)}." if told else "Every pool has a live worker."


async def _charts(ask: Ask, window: Window, pool: str | None) -> Sequence[Chart]:
    """They are drawn once: who looks on is told figures, and loads the page again for these."""
    if ask.live:
        return ()
    names = [one.name for one in ask.parts.settings.topology.pools]
    step = history.usual_step(window.seconds)
    found = await ask.parts.views.history.read("pool", names, window.seconds, step, name=pool)
    return [chart_of(found, name) for name in found.points]


def chart_of(found: History, pool: str) -> Chart:
    """How busy a pool was."""
    points = found.points[pool]
    shares = [None if (figure := point.figures["utilization"]) is None else figure.avg for point in points]
    return chart(pool, [point.at for point in points], found.until, [Line("busy", shares)], "share", top=1.0)
