"""A task that was submitted, as its caller holds it."""

from collections.abc import AsyncIterator
from typing import Any

from pointsman_client.aio.ends import EndsOfTasks
from pointsman_client.calling.events import Event
from pointsman_client.calling.results import result_of
from pointsman_client.models import Cancelled, Explanation, Task


class Handle:
    """One task. It is stored and will run, whatever becomes of this process; ``client.tasks.handle(id)`` is another
    handle of the same task, from anywhere.
    """

    def __init__(self, tasks: EndsOfTasks, task_id: str, task: Task | None = None) -> None:
        self._tasks = tasks
        self.id = task_id
        self.task = task
        """The task as it was when it was last asked for."""

    def __repr__(self) -> str:
        return f"Handle({self.id!r})" if self.task is None else f"Handle({self.id!r}, {self.task.task_type!r})"

    async def refresh(self) -> Task:
        """The task as it is now."""
        self.task = await self._tasks.get(self.id)
        return self.task

    async def wait(self, timeout: float | None = None) -> Task:  # noqa: ASYNC109 - as its twin
        """The task when it has ended, however it did. ``timeout`` is in seconds, by default that of the client.

        Raises ``TaskStillRunning`` when it has not ended by then; it goes on all the same. Thousands may wait at once
        through one client: they have two connections together.
        """
        self.task = await self._tasks.end_of(self.id, timeout)
        return self.task

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as its twin
        """What the task returned, when it has ended. Raises ``TaskFailed``, ``TaskCancelled`` and ``TaskExpired``, and
        ``TaskStillRunning`` as ``wait`` does.
        """
        return result_of(await self.wait(timeout))

    async def cancel(self, reason: str | None = None, *, end_running: bool | None = None) -> Cancelled:
        """Ask for its end: at once where it has not started; ``end_running`` says whether an attempt is ended, too.
        Raises ``TaskFinished`` when it has ended already.
        """
        return await self._tasks.cancel(self.id, reason=reason, end_running=end_running)

    async def explain(self) -> Explanation:
        """Why it is where it is, how long that is expected to last, and what can be done."""
        return await self._tasks.explain(self.id)

    def events(self) -> AsyncIterator[Event]:
        """What becomes of it, as it happens: ``task`` at first and with each change, until it has ended."""
        return self._tasks.stream(self.id)
