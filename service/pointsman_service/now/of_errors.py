"""Sentences about what fails, where no circuit breaker is open for it. Pure."""

from pointsman_service.alert.alert import Alert
from pointsman_service.breaker.last_error import in_a_line
from pointsman_service.now.facts import Facts
from pointsman_service.now.of_breakers import error_of, of_type
from pointsman_service.now.picture import Link, LinkKind, Part
from pointsman_service.now.words import number, one, since, words


def dead_letters(alert: Alert, facts: Facts) -> dict[str, object]:
    """What is told of tasks of one type that failed for good."""
    found = facts.failing.get(alert.subject)
    runs = facts.types.get(alert.subject)
    if found is None or not alert.subject:
        return {}
    failure, group = found
    always = runs is not None and runs.failed > 0 and not runs.succeeded
    failed = int(alert.value or 0) if runs is None else runs.failed
    link = Link(LinkKind.DEAD_LETTERS, filter={"task_type": alert.subject})
    return {
        "parts": words(
            one(LinkKind.TASK_TYPE, alert.subject),
            " always fails: " if always else " fails: ",
            Part(in_a_line(failure.type, failure.message), Link(LinkKind.TASK, failure.task_id)),
            "" if group.where is None else f" at {group.where}",
            f"{since(group.since, facts.now)}.",
        ),
        "consequences": (
            words(Part(number(failed, "task"), link), " failed for good within a quarter of an hour."),
            *of_type(runs, facts),
        ),
        "error": error_of(failure, group),
    }
