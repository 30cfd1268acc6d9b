"""What may be done to everything that a filter finds, and what a filter cannot say of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.tasks.filters import Chosen
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.act_on_many import ActFilter, TaskActKind

RIGHTS: Final = {TaskActKind.CANCEL: ActKind.CANCEL_MANY, TaskActKind.RETRY: ActKind.RETRY_MANY}
_LABELS: Final = {TaskActKind.CANCEL: "Cancel them all", TaskActKind.RETRY: "Run them all again"}
_RETRIED: Final = frozenset({TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})
_OF_THE_END: Final = ("error_type", "error_message", "finished_after", "finished_before")


@dataclass(frozen=True)
class Offer:
    """An act on many, and where it is looked at before it is done."""

    label: str
    href: str


def offers_of(ask: Ask, chosen: Chosen) -> Sequence[Offer]:
    """Those that fit the filter and that the caller may do."""
    return [
        Offer(_LABELS[kind], ask.links("tasks", "many", str(kind), **chosen.query(sort=None, limit=None)))
        for kind in (TaskActKind.RETRY, TaskActKind.CANCEL)
        if ask.caller.may(RIGHTS[kind]) and isinstance(act_filter(kind, chosen), ActFilter)
    ]


def act_filter(kind: TaskActKind, chosen: Chosen) -> ActFilter | str:
    """The tasks that an act is about, or why there is none such. It never finds more than the list."""
    wanted = chosen.wanted
    if not chosen.narrows:
        return "Narrow the list first: nobody means all tasks there are."
    if wanted.replayed:
        return "What was run again already is left alone."
    if kind is TaskActKind.CANCEL and (wanted.state in TERMINAL or any(getattr(wanted, name) for name in _OF_THE_END)):
        return "What has ended cannot be cancelled."
    if kind is TaskActKind.RETRY and (wanted.held_reason or wanted.state not in {None, *_RETRIED}):
        return "Only what failed, was cancelled or has expired can run again."
    tags: dict[str, str] = {}
    for readings in wanted.tags:
        if len(readings) > 1:
            return "A tag with two colons can be read in more than one way: name another one."
        tags |= readings[0]
    return ActFilter(
        state=wanted.state,
        queue=wanted.queue,
        task_type=wanted.task_type,
        caller=wanted.caller,
        worker=wanted.worker,
        held_reason=wanted.held_reason,
        attempts=wanted.attempts,
        attempts_at_least=wanted.attempts_at_least,
        error_type=wanted.error_type,
        error_group=wanted.error_group,
        error_message=wanted.error_message,
        tags=tags or None,
        submitted_after=wanted.submitted_after,
        finished_after=wanted.finished_after,
        finished_before=wanted.finished_before,
    )
