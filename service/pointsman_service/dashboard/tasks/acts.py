"""What was done to many tasks at once: each act with how far it is; stop it, undo it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pointsman_contract.states import UNFINISHED, TaskState
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, View
from pointsman_service.dashboard.tasks.filters import words_of
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.many import error_of
from pointsman_service.errors import UnknownTaskAct
from pointsman_service.observe.tasks.dead_letters import replay_of
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.act_on_many import Stage, TaskAct, TaskActKind

_ON_A_PAGE: Final = 20
_REPLAYS: Final = 10
_STATES_OF_MOST: Final = 5_000
"""Each of its tasks is looked up, every time that somebody looks."""
_NAMES: Final = {"cancel": "Cancel", "retry": "Run again", "replay": "Run dead letters again"}
_AS_A_LIST: Final = {"failed_after": "finished_after", "failed_before": "finished_before"}
"""What the filter of a replay calls otherwise than a list of tasks."""


@dataclass(frozen=True)
class Shown:
    """An act of either kind, as pages show it."""

    id: UUID
    kind: str
    name: str
    stage: str
    requested_at: datetime
    caller: str | None
    reason: str | None
    words: Sequence[str]
    href: str
    """The list of what the filter finds now."""
    error_group: UUID | None
    """That the filter names."""
    rate_per_second: float | None
    looked_at: int | None
    matched: int
    tasks: int
    last_due_at: datetime | None
    put_back: int
    most: int | None
    ends_running: bool


@page.shows("acts")
async def show_acts(ask: Ask) -> View:
    """The newest acts."""
    cursor = ask.cursor()
    found, replays = await asyncio.gather(
        ask.parts.many.newest(cursor, _ON_A_PAGE + 1), ask.parts.replayer.newest(None, _REPLAYS)
    )
    shown = [_of_act(ask, act) for act in found[:_ON_A_PAGE]]
    open_acts = sum(one.stage in (Stage.WALKING, Stage.UNDOING) for one in shown)
    return View(
        template="tasks/acts.html",
        title=f"{some(open_acts, 'act')} {'goes' if open_acts == 1 else 'go'} on" if open_acts else "acts on many",
        values={
            "acts": shown,
            "replays": [_of_replay(ask, row) for row in replays],
            "first": None if cursor is None else ask.links("tasks", "acts"),
            "following": ask.links("tasks", "acts", cursor=found[_ON_A_PAGE - 1].id)
            if len(found) > _ON_A_PAGE
            else None,
        },
    )


@page.shows("acts/{act_id:uuid}")
async def show_act(ask: Ask) -> View:
    """One act, and what has become of its tasks."""
    act_id: UUID = ask.names["act_id"]
    try:
        progress = await ask.parts.many.find(act_id, _STATES_OF_MOST)
    except UnknownTaskAct:
        row = await ask.parts.replayer.find(act_id)
        shown, pending, states = _of_replay(ask, row), 0, row["states"]
    else:
        shown, pending, states = _of_act(ask, progress.act), progress.pending, progress.states
    known = {state: (states or {}).get(state, 0) for state in TaskState if (states or {}).get(state)}
    ended = sum(count for state, count in known.items() if state not in UNFINISHED)
    return View(
        template="tasks/act.html",
        title=f"{shown.stage}: {shown.name}",
        says=_says(shown),
        values={
            "act": shown,
            "pending": pending,
            "states": known,
            "states_known": states is not None,
            "share": ended / shown.tasks if shown.tasks and states is not None else None,
            "goes_on": shown.stage in (Stage.WALKING, Stage.UNDOING),
            "error": None if ask.live else await error_of(ask, shown.error_group),
            "undo_path": ask.links("tasks", "acts", act_id, "undo"),
            "undo_right": ActKind.UNDO_REPLAY if shown.kind == TaskActKind.REPLAY else ActKind.UNDO_MANY,
        },
    )


@page.acts("acts/{act_id:uuid}/stop", ActKind.STOP_MANY)
async def stop(ask: Ask) -> Done:
    """Go no further."""
    act_id: UUID = ask.names["act_id"]
    progress = await ask.parts.many.stop(ask.caller, act_id, ask.reason("stopped in the dashboard"))
    return Done(text=f"It goes no further: {progress.act.tasks:,} done.", path=place("tasks", "acts", act_id))


@page.acts("acts/{act_id:uuid}/undo", ActKind.UNDO_MANY)
async def undo(ask: Ask) -> Done:
    """Take back what has not started."""
    act_id: UUID = ask.names["act_id"]
    reason = ask.reason("undone in the dashboard")
    path = place("tasks", "acts", act_id)
    try:
        progress = await ask.parts.many.undo(ask.caller, act_id, reason)
    except UnknownTaskAct:
        if not ask.caller.may(ActKind.UNDO_REPLAY):
            raise
        await ask.parts.replayer.undo(ask.caller, act_id, reason)
        return Done(text="What had not started is taken back.", path=path)
    act = progress.act
    done = "Undone" if act.stage is Stage.UNDONE else "It is being undone"
    return Done(text=f"{done}: {act.put_back:,} of {act.tasks:,} put back so far.", path=path)


def _says(act: Shown) -> str:
    return f"{act.name}: {act.stage}, {some(act.tasks, 'task')} done."


def _of_act(ask: Ask, act: TaskAct) -> Shown:
    query = _query(act.wanted, reads_payloads=ask.caller.reads_payloads)
    return Shown(
        id=act.id,
        kind=str(act.kind),
        name=_NAMES[act.kind],
        stage=str(act.stage),
        requested_at=act.requested_at,
        caller=act.caller,
        reason=act.reason,
        words=_words(query),
        href=ask.links("tasks", **query),
        error_group=_group(query),
        rate_per_second=act.rate_per_second,
        looked_at=act.looked_at,
        matched=act.matched,
        tasks=act.tasks,
        last_due_at=act.last_due_at,
        put_back=act.put_back,
        most=act.most,
        ends_running=act.grace_seconds is not None,
    )


def _of_replay(ask: Ask, row: Mapping[str, Any]) -> Shown:
    found = replay_of(row)
    query = {_AS_A_LIST.get(name, name): value for name, value in found.wanted.items()} | {"state": "failed"}
    return Shown(
        id=found.id,
        kind=str(TaskActKind.REPLAY),
        name=_NAMES[TaskActKind.REPLAY],
        stage=str(Stage.DONE) if row.get("stage") is None else str(row["stage"]),
        requested_at=found.requested_at,
        caller=row.get("caller"),
        reason=row.get("reason"),
        words=_words(query),
        href=ask.links("tasks", **query),
        error_group=_group(query),
        rate_per_second=found.rate_per_second,
        looked_at=None,
        matched=found.matched,
        tasks=found.tasks,
        last_due_at=found.last_due_at,
        put_back=0,
        most=None,
        ends_running=False,
    )


def _query(wanted: Mapping[str, Any], *, reads_payloads: bool) -> dict[str, Any]:
    """The filter of an act as the parameters of a list; without ``reads_payloads`` without what is one."""
    query = {name: value for name, value in wanted.items() if name != "tags"}
    if not reads_payloads:
        return {name: value for name, value in query.items() if name != "error_message"}
    tags = [f"{name}:{value}" for name, value in (wanted.get("tags") or {}).items()]
    return query | ({"tag": tags} if tags else {})


def _group(query: Mapping[str, Any]) -> UUID | None:
    found = query.get("error_group")
    return None if found is None else UUID(str(found))


def _words(query: Mapping[str, Any]) -> list[str]:
    found = [words_of(name, str(value)) for name, value in query.items() if name != "tag"]
    return found + list(query.get("tag", ()))
