"""What schemathesis is told of this API: which refusals of a request that fits its schema are right.

Loaded by schemathesis in an environment of its own, where nothing of ours can be imported.
"""

import json
import re
from typing import Any

import schemathesis

# 404: what is named is not there. 409, 412, 503: it is not in a state for that.
STATES = (404, 409, 412, 503)
KINDS = {"unknown-task-type", "unknown-queue", "invalid-arguments", "idempotency-key-reused", "too-many-breakers"}
"""Problems that depend on what is published, configured and stored."""
FAULTS = re.compile(
    r"lies in the past|must be after the task is due"  # the clock
    r"|must be between the years 1970 and 9000"  # a pattern says so, and a format beside it is all that is drawn from
    r"|there is no such (queue|channel).*|no worker has published this task type"  # what there is
    r"|is not a cursor of this list"  # what was answered before
    r"|no task has two values of .*|is given more than once"  # what stands twice
    r"|does not match .*"  # the name in a path, by the scope beside it
    r"|(contains|has a key with) a NUL character|is not a finite number"  # any text and number, at any depth
    r"|.* cannot be the name of a dependency: .*"  # what an address with brackets is
    r"|.*(is not an exception of Python itself|names others with their module).*"  # which Python runs it
)


@schemathesis.check  # type: ignore[untyped-decorator]  # as it is missing here
def refused_only_for_what_no_schema_says(ctx: Any, response: Any, case: Any) -> None:
    """A request that fits its schema is accepted, or refused for a reason that the schema cannot hold."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 400:
        return
    if case.meta.phase.name.value == "coverage" and getattr(case.meta.phase.data, "scenario", None) is not None:
        scenario = case.meta.phase.data.scenario.value
        if "unexpected" in scenario or "unspecified" in scenario:
            return
    if response.status_code in STATES:
        return
    wrong = [*_unexplained(json.loads(response.content))]
    assert not wrong, f"{response.status_code} although it fits the schema: {wrong}"


def _unexplained(problem: dict[str, Any]) -> Any:
    kind = problem["type"].rpartition(":")[2]
    if kind == "nothing-accepted":
        for result in problem["results"]:
            if result is not None:
                yield from _unexplained(result["problem"])
    elif kind not in KINDS:
        faults = problem.get("errors", [])
        yield from [fault for fault in faults if not FAULTS.fullmatch(fault["detail"])] if faults else [problem]
