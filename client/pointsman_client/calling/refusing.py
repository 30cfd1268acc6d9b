"""What an answer that is not what was asked for is raised as."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.errors import Refused
from pointsman_client.problems import BY_STATUS, BY_TYPE


def refused(answer: Answer) -> Refused:
    """By the problem document (RFC 9457), where there is one; else by the status."""
    problem: Mapping[str, Any] = {}
    with suppress(ValueError):
        found = answer.json()
        problem = found if isinstance(found, Mapping) else {}
    return refused_by(problem, answer.status, answer.request_id, retry_after(answer))


def retry_after(answer: Answer) -> float | None:
    """How many seconds later it asks to be asked again."""
    after = answer.headers.get("retry-after", "")
    return float(after) if after.isdecimal() else None


def refused_by(
    problem: Mapping[str, Any], status: int, request_id: str | None, retry_after_seconds: float | None = None
) -> Refused:
    """As a problem document says it; by the status, where it says nothing that is known here."""
    name = str(problem.get("type") or "").rpartition("/")[2].rpartition(":")[2]
    text = str(problem.get("detail") or problem.get("title") or f"the API answered {status}")
    faults = problem.get("errors")
    for fault in faults if isinstance(faults, list) else ():
        if isinstance(fault, Mapping):
            text += f" {fault.get('pointer', '')}: {fault.get('detail', '')}"
    kind = BY_TYPE.get(name) or BY_STATUS.get(status, Refused)
    return kind(
        text,
        status=status,
        problem=name,
        retry_after_seconds=retry_after_seconds,
        request_id=request_id,
        document=problem,
    )
