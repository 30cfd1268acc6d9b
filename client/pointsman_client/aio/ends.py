"""Tasks with the wait for their end."""

from typing import Protocol

from pointsman_client.aio.asking import Asked
from pointsman_client.aio.operations import TasksOperations
from pointsman_client.aio.waits import Waits
from pointsman_client.calling.retrying import Retries
from pointsman_client.models import Task


class Waiting(Asked, Protocol):
    """Whoever makes calls, and knows how long, how often, and who waits."""

    @property
    def retries(self) -> Retries:
        """How often a call is made again."""
        ...

    @property
    def timeout(self) -> float:
        """Of a call, in seconds."""
        ...

    @property
    def waits(self) -> Waits:
        """All who wait."""
        ...


class EndsOfTasks(TasksOperations):
    """The operations of tasks, and their end."""

    def __init__(self, client: Waiting) -> None:
        super().__init__(client)
        self._waiting = client

    async def end_of(self, task_id: str, timeout: float | None = None) -> Task:  # noqa: ASYNC109 - as its twin
        """The task when it has ended, however it did. ``timeout`` is in seconds, by default that of the client. Raises
        ``TaskStillRunning`` when it has not ended by then; it goes on all the same.
        """
        return await self._waiting.waits.end_of(
            self._waiting, task_id, self._waiting.timeout if timeout is None else timeout
        )
