"""What an answer that is not what was asked for is raised as."""

from contextlib import suppress
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.errors import Refused
from pointsman_client.problems import BY_STATUS, BY_TYPE


def refused(answer: Answer) -> Refused:
    """By the problem document (RFC 9457), where there is one; else by the status."""
    problem: dict[str, Any] = {}
    with suppress(ValueError):
        found = answer.json()
        problem = found if isinstance(found, dict) else {}
    name = str(problem.get("type") or "").rpartition("/")[2].rpartition(":")[2]
    text = str(problem.get("detail") or problem.get("title") or f"the API answered {answer.status}")
    faults = [fault for fault in problem.get("errors") or () if isinstance(fault, dict)]
    for fault in faults:
        text += f" {fault.get('pointer', '')}: {fault.get('detail', '')}"
    after = answer.headers.get("retry-after", "")
    kind = BY_TYPE.get(name) or BY_STATUS.get(answer.status, Refused)
    return kind(
        text,
        status=answer.status,
        problem=name,
        retry_after_seconds=float(after) if after.isdecimal() else None,
        request_id=answer.request_id,
        document=problem,
    )
