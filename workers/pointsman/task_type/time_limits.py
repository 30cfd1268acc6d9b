"""The time limits of one managed attempt: the hard one a submission may ask for, and the soft one that goes with it."""

from collections.abc import Sequence
from typing import Any


def limits_of(task: Any, asked: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The hard and the soft limit in seconds of a run whose message asks for these; None stands for none.

    A soft limit leaves as much time before the hard one as the task type's own; of a shorter run than the type's in
    proportion, so that it always comes first. One that the message names itself counts where it comes first.
    """
    hard, soft = asked
    limit, soft_limit = task.time_limit, task.soft_time_limit
    if hard is None:
        return None, soft
    if soft is not None and soft < hard:
        return hard, soft
    if not limit or not soft_limit:
        return hard, None
    return hard, hard - (limit - soft_limit) * min(1.0, hard / limit)
