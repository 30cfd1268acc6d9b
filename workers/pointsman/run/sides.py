"""What a managed run and the task it runs know of one another. The task's class is above the run and imports it."""

from typing import Any, Protocol

from pointsman.run.gate import Claim
from pointsman.run.once import Step
from pointsman.run.written import Written
from pointsman.task_type.dependencies import Dependencies
from pointsman.task_type.retrying import AttemptRetries


class RunnableTask(Protocol):
    """What a run needs of its task; ``pointsman.ManagedTask`` has it."""

    name: str
    time_limit: int | None
    soft_time_limit: int | None
    ignore_result: bool
    fail_fast: bool
    keep_logs: bool
    breaker_ignores: tuple[type[BaseException], ...]
    throws: tuple[type[Exception], ...]

    @property
    def request_stack(self) -> Any:
        """Celery's requests of this process, the innermost on top."""
        ...


class AttemptOfTask(Protocol):
    """What the code of a task may ask of its managed run."""

    id: str
    claim: Claim
    retries: AttemptRetries
    dependencies: Dependencies

    @property
    def task(self) -> object:
        """The task that runs."""
        ...

    def is_cancelled(self) -> bool:
        """Whether the run was asked to end."""
        ...

    def once(self, key: str) -> Step:
        """A step that happens at most once across the attempts of the task."""
        ...

    def writing(self) -> Written | None:
        """What keeps what the run writes; None: its task type says that nothing is kept."""
        ...

    def show_progress(self, text: str) -> None:
        """Tell how far the attempt is."""
        ...

    def has_arguments(self, args: Any, kwargs: Any) -> bool:
        """Whether these, of which None stands for what the message holds, are the message's own."""
        ...
