"""Change what waits: its queue, its priority, when it is due. What was sent, runs or has ended stays as it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.callers import Caller
from pointsman_service.errors import (
    FieldError,
    InvalidRequest,
    TaskFinished,
    TaskNotWaiting,
    UnknownQueue,
    UnknownTask,
)
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.settings import Settings
from pointsman_service.store.queues.holding import QUARANTINE
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import changing, reading
from pointsman_service.store.tasks.changing import Change

__all__ = ["Change", "Changer"]

_SENT = (
    "The task was sent: a worker takes it next. Pause its queue, and the worker gives it back unstarted, to be changed"
    " then; or cancel it, and retry it with another queue or priority."
)


class Changer:
    """Changes tasks for one API process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._topology = settings.topology

    async def change(self, caller: Caller, task_id: UUID, wanted: Change, reason: str | None = None) -> dict[str, Any]:
        """The task's row afterwards. Asked again, it changes nothing more.

        Its SLA clock runs from when it is due then, to the target of its queue. Due now, it is sent by the dispatcher
        as others are: a pause and a circuit breaker still hold it. Raises ``UnknownTask``, ``UnknownQueue``,
        ``TaskFinished``, ``TaskNotWaiting`` (it was sent, runs, is to be cancelled, or is in quarantine), and
        ``InvalidRequest`` when it would expire before it is due.
        """
        if wanted.queue is not None:
            queue = self._topology.queue(wanted.queue)
            if queue is None:
                names = ", ".join(spec.name for spec in self._topology.queues)
                raise UnknownQueue(errors=[FieldError(pointer="/queue", detail=f"must be one of {names}")])
            wanted = replace(wanted, sla_seconds=queue.sla_seconds)
        act = Act(ActKind.CHANGE, caller, str(task_id), reason)
        async with acting(self._store, act) as connection:
            before = await changing.place_of(connection, task_id)
            changed = await changing.change(connection, task_id, wanted)
            row = await reading.task(connection, task_id)
            if not changed:
                raise _refusal(row, wanted)
            after = await changing.place_of(connection, task_id)
            assert before is not None
            assert after is not None
            act.was(*_differing(before, after))
        assert row is not None
        return row


def _differing(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in before if before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


def _refusal(row: dict[str, Any] | None, wanted: Change) -> Exception:
    if row is None:
        return UnknownTask()
    state = TaskState(row["state"])
    if state in TERMINAL:
        return TaskFinished(f"The task has ended already: it is {state}.")
    if state is TaskState.RUNNING:
        return TaskNotWaiting("The task runs: only what waits can be changed.")
    if row["cancel_requested_at"] is not None:
        return TaskNotWaiting("The task is being cancelled.")
    if row["held_reason"] == QUARANTINE:
        return TaskNotWaiting("The task is in quarantine: it runs alone on its queue, or not at all.")
    due_at = wanted.due_at or datetime.now(UTC) + timedelta(seconds=wanted.delay_seconds or 0.0)
    if row["expires_at"] is not None and datetime.now(UTC) < row["expires_at"] <= due_at:
        name = "scheduled_at" if wanted.due_at is not None else "delay_seconds"
        return InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail="must be before it expires")])
    return TaskNotWaiting(_SENT)
