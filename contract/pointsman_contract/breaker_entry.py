"""What Redis says of one circuit breaker, for those who cannot ask Postgres: the gate, the report, a worker.

An entry is a mark, the epoch and a JSON object: ``!7|{"state":"open",…}``, so that who only wants to know whether tasks
pass need not read the JSON. A breaker without an entry is closed, of epoch 0 and has the default policy.
"""

import json
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.breaker_run import Run

PASSES, BLOCKS, PROBES = "-", "!", "?"
"""Marks: every task passes; none does; only those that have a permit."""
DEFAULT_FIELD = "default"
"""The field of ``keys.BREAKERS`` whose entry holds the default policy. Every other one is ``<scope>:<name>``."""


class RunBody(TypedDict):
    """A ``Run``: of different tasks, each at its first attempt."""

    many: int
    few: int
    seconds: float
    age: float


_NO_RUN = RunBody(many=0, few=0, seconds=0.0, age=0.0)


class EntryBody(TypedDict):
    """The JSON of an entry."""

    state: str
    """As callers see it."""
    retry_at: float | None
    """Unix seconds: when an open one lets probes through."""
    permits: Mapping[str, float]
    """Who may pass while it is half open, each the id of a task, and until when."""
    threshold: int
    """Failures in a row that open it; 0: none do. Of a task type only for workers that do not know of ``run``."""
    wait: float
    """Seconds that it then stays open at least."""
    expected: list[str]
    ignored: list[str]
    run: NotRequired[RunBody]
    """Of a task type: the run of failures that opens it; ``many`` 0: none does. Of the default policy too."""
    provisional: NotRequired[str]
    """``<epoch of Redis>/<stream id>`` of the failure at which ``report.lua`` opened it: to be confirmed by who records
    that."""


def encode(mark: str, epoch: int, body: EntryBody) -> str:
    """An entry. Equal for equal breakers."""
    return f"{mark}{epoch}|{json.dumps(body, separators=(',', ':'), sort_keys=True)}"


def body_of(
    policy: BreakerPolicy, state: str, retry_at: float | None, permits: Mapping[str, float], trips: int
) -> EntryBody:
    """The JSON of an entry; ``trips`` counts the openings in a row so far. Add ``run_body`` for a task type."""
    return {
        "state": state,
        "retry_at": retry_at,
        "permits": dict(permits),
        "threshold": policy.failure_threshold or 0,
        "wait": policy.wait_seconds(trips + 1, lambda: 0.0),
        "expected": list(policy.expected_exception),
        "ignored": list(policy.ignored_exceptions),
    }


def run_body(run: Run | None) -> RunBody:
    """The run that opens the breaker of a task type; None: no run does."""
    return _NO_RUN if run is None else RunBody(many=run.many, few=run.few, seconds=run.seconds, age=run.age)


def provisional_of(entry: str) -> tuple[int, str] | None:
    """The epoch of Redis and the stream id at which ``report.lua`` opened it; None for what Postgres says."""
    said: str | None = _body(entry).get("provisional")
    if said is None:
        return None
    epoch, _, stream_id = said.partition("/")
    return int(epoch), stream_id


def epoch_of(entry: str) -> int:
    """The breaker's epoch."""
    return int(entry[1 : entry.index("|")])


def lets_pass(entry: str | None, task: str) -> bool:
    """Whether a task passes: as the gate decides it."""
    if entry is None or entry.startswith(PASSES):
        return True
    return entry.startswith(PROBES) and task in (_body(entry).get("permits") or {})


def _body(entry: str) -> dict[str, Any]:
    found: Any = json.loads(entry.partition("|")[2])
    if not isinstance(found, dict):
        raise ValueError("the entry of a circuit breaker holds no object")  # noqa: TRY004 - as json does
    return found
