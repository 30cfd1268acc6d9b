"""Sentences about what fails, where no circuit breaker is open for it. Pure."""

from pointsman_service.alert.alert import Alert
from pointsman_service.alert.kinds import Rule
from pointsman_service.now.facts import Facts
from pointsman_service.now.of_breakers import error_of, of_type
from pointsman_service.now.picture import Cause, Link, LinkKind, Part, Remedy, Words
from pointsman_service.now.words import failure as said_of
from pointsman_service.now.words import number, one, since, words


def news(alert: Alert, facts: Facts, plain: Cause) -> dict[str, object]:
    """What is told of an error that is new, or back again."""
    _, mark, group = alert.subject.rpartition("#")
    if not mark:
        return {}
    failed = Link(LinkKind.TASKS, filter={"state": "failed", "error_group": group})
    told = _newest(alert, facts, plain)
    return told | {
        "remedies": (
            *plain.remedies,
            Remedy("It is mended: resolve it.", Link(LinkKind.ERROR, group), act="resolve_error"),
            Remedy("Run again what it has failed for good.", failed, act="retry_tasks"),
        ),
    }


def _times(count: int) -> str:
    return "once" if count == 1 else number(count, "time")


def _newest(alert: Alert, facts: Facts, plain: Cause) -> dict[str, object]:
    """Its newest failure, as it was: the summary of the alert has it without what differs each time."""
    _, _, group_id = alert.subject.rpartition("#")
    found = facts.examples.get(group_id)
    if found is None:
        return {}
    again = "again with an earlier" if alert.rule == Rule.ERROR_BACK else "with a new"
    return {
        "parts": words(
            one(LinkKind.TASK_TYPE, found.task_type),
            f" fails {again} error: ",
            Part(said_of(found.failure.type, found.failure.message), Link(LinkKind.ERROR, group_id)),
            "" if found.group.where is None else f" at {found.group.where}",
            f"{since(plain.since, facts.now)}.",
        ),
        "consequences": (words(f"It has failed this way {_times(found.group.count)} within the hour."),),
        "error": error_of(found.failure, found.group),
    }


def beneath(alert: Alert, cause: Cause) -> tuple[tuple[Words, ...], tuple[Remedy, ...]]:
    """What is told of an error that is new, or back again, where its type has many dead letters of it: what to say
    beneath that, and all there is to do.
    """
    group = alert.subject.rpartition("#")[2]
    said = "It had been taken for mended, and is back again" if alert.rule == Rule.ERROR_BACK else "It is new"
    resolve = Remedy("It is mended: resolve it.", Link(LinkKind.ERROR, group), act="resolve_error")
    return (words(Part(said, Link(LinkKind.ERROR, group)), "."),), (*cause.remedies, resolve)


def dead_letters(alert: Alert, facts: Facts, plain: Cause) -> dict[str, object]:
    """What is told of tasks of one type that failed for good."""
    found = facts.failing.get(alert.subject)
    runs = facts.types.get(alert.subject)
    if found is None or not alert.subject:
        return {}
    failure, group = found
    always = runs is not None and runs.failed > 0 and not runs.succeeded
    failed = int(alert.value or 0) if runs is None else runs.failed
    failed_so = Link(LinkKind.TASKS, filter={"state": "failed", "error_group": str(group.id)})
    link = Link(LinkKind.DEAD_LETTERS, filter={"task_type": alert.subject})
    return {
        "parts": words(
            one(LinkKind.TASK_TYPE, alert.subject),
            " always fails: " if always else " fails: ",
            Part(said_of(failure.type, failure.message), Link(LinkKind.TASK, failure.task_id)),
            "" if group.where is None else f" at {group.where}",
            f"{since(group.since, facts.now)}.",
        ),
        "consequences": (
            words(Part(number(failed, "task"), link), " failed for good within a quarter of an hour."),
            *of_type(runs, facts),
        ),
        "error": error_of(failure, group),
        "remedies": (
            *plain.remedies,
            Remedy("It is mended: run again what failed this way.", failed_so, act="retry_tasks"),
        ),
    }
