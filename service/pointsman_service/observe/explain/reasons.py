"""One cause with its sentence, its remedy and its link."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from pointsman_contract.log_text import in_one_line
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import CauseFacts, Reason
from pointsman_service.observe.explain.facts import Count, Facts
from pointsman_service.observe.explain.remedies import REMEDIES, Remedy, filled
from pointsman_service.observe.spans import short_span

READY = "/readyz?verbose"


def reason(
    cause: Cause,
    sentence: str,
    facts: CauseFacts,
    link: str,
    *,
    since: datetime | None = None,
    clears_itself: bool | None = None,
    expected_at: datetime | None = None,
    remedy: Remedy | None = None,
    **places: str,
) -> Reason:
    """The reason. ``remedy``: another than that of the cause; ``places`` are filled into what it says."""
    found = remedy or REMEDIES[cause]
    return Reason(
        cause=cause,
        sentence=in_one_line(sentence),
        since=since,
        clears_itself=clears_itself,
        expected_at=expected_at,
        what_to_do=in_one_line(filled(found.step, **places)),
        documentation=found.page,
        facts=facts,
        link=link,
    )


def told(found: Iterable[Reason], more: str) -> list[Reason]:
    """The same, with what they do to the task."""
    return [replace(one, sentence=one.sentence + more) for one in found]


def task_link(facts: Facts) -> str:
    """The task itself."""
    return f"/v1/tasks/{facts.task.id}"


def queue_link(name: str) -> str:
    """A queue."""
    return f"/v1/queues/{quote(name, safe='')}"


def tasks(count: Count) -> str:
    """A number of tasks in words."""
    if count.capped:
        return f"more than {count.tasks:,} tasks"
    return "1 task" if count.tasks == 1 else f"{count.tasks:,} tasks"


def waited(facts: Facts) -> str:
    """For how long the task has been due and what is before it; empty of one that is not due."""
    seconds = (facts.now - facts.task.due_at).total_seconds()
    if seconds < 0:
        return ""
    found = f" This task has been due for {short_span(seconds)}"
    if facts.ahead is not None and facts.ahead.tasks:
        are = "is" if facts.ahead.tasks == 1 and not facts.ahead.capped else "are"
        found += f"; {tasks(facts.ahead)} {are} before it"
    return found + "."
