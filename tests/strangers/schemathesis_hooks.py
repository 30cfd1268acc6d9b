"""What schemathesis is told of the installation that it asks, and which refusals of a request that fits are right.

Loaded by schemathesis in an environment of its own, where nothing of ours can be imported. Beside it lies
``installation.json``: names and ids that exist, by parameter.
"""

import copy
import itertools
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import is_unexpected_http_status_case

THERE_IS: dict[str, list[str]] = json.loads(Path("installation.json").read_text())
WHAT_A_NAME_NAMES = {"queues": "queue", "task-types": "task_type", "alert-channels": "channel"}
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+\-]{0,199}")
TEXT = {"type": "string", "pattern": r"^[^\x00]*$"}
ANY_JSON = {"$ref": "#/components/schemas/AnyJson"}
IDS = {"act_id", "alert_id", "error_id", "key_id", "replay_id", "task_id"}
ID = re.compile(r'"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
ANSWERED = {one for name in IDS for one in THERE_IS[name]}
"""Ids that the API has told of, but those of the keys that it is asked with: they would be revoked."""
OWN = set(THERE_IS.get("own_key", ()))
SENT = [line.split(": ", 1) for line in THERE_IS.get("sent", ())]
"""The field of its header by which the caller of a request is known; several take turns."""
TURNS = itertools.count()
LATER = "8996"
"""A leap year, so that every date has its day in it."""
MOST_STEPS = {"get_metrics_timeseries": 96, "get_queue_metrics": 1500, "get_worker_metrics": 1500}
"""Of a window, however many groups, queues or pools are told; of the first so many that steps of half an hour make two
days.
"""

NO_WORKER = {"unknown-worker"}
REFUSALS: dict[str, set[str]] = {
    **dict.fromkeys(("ask_for_permit", "report_outcomes", "eject_worker", "admit_worker"), NO_WORKER),
    # Of a dependency that nobody has called.
    **dict.fromkeys(("disable_breaker", "force_breaker_closed", "force_breaker_open"), NO_WORKER | {"not-found"}),
    **dict.fromkeys(("probe_breaker", "reset_breaker"), NO_WORKER | {"not-found"}),
    "set_breaker_policy": NO_WORKER | {"policy-changed"},
    "unset_breaker_policy": NO_WORKER | {"policy-changed", "not-found"},
    "get_breaker": {"not-found"},
    "cancel_task": {"task-finished"},
    "change_task": {"task-finished", "task-not-waiting"},
    "cancel_tasks": {"count-differs"},
    "retry_tasks": {"count-differs"},
    "retry_task": {"task-not-finished", "task-replayed", "task-succeeded"},
    "get_task": {"link-unknown"},
    "share_task": {"invalid-request"},
    "acknowledge_alert": {"alert-resolved"},
    "unacknowledge_alert": {"alert-resolved"},
    "purge_queue": {"count-differs"},
    # Its schema does not say that it takes a preset or scopes.
    "create_key": {"key-name-taken", "invalid-request"},
    # Nor this one that a burst is of a rate.
    "limit_key": {"key-not-live", "invalid-request"},
    "rotate_key": {"key-not-live"},
    "submit_task": {"breaker-open", "sla-at-risk"},
    "submit_batch": {"breaker-open", "sla-at-risk"},
    "validate_task": {"breaker-open", "sla-at-risk"},
}
"""All that may stand in the way of a request that fits the document and names what exists."""


@st.composite
def moments(draw: Any) -> str:
    """Date and time with an offset, in the years of which the pattern of a task's moments speaks as well."""
    day, time = draw(st.dates(date(1970, 1, 1), date(int(LATER) - 1, 12, 31))), draw(st.times())
    return f"{day}T{time}{draw(st.sampled_from(('Z', '+00:00', '-11:30', '+14:00')))}"


schemathesis.openapi.format("date-time", moments())


@schemathesis.hook  # type: ignore[untyped-decorator]  # as it is missing here
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Say in the document what is so in this installation, and what generators of clients could not bear to read."""
    # It asks with the key of one caller or without any: who may what has a test for each operation.
    raw_schema["components"].pop("securitySchemes")
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict):
                operation.pop("security", None)
    schemas = raw_schema["components"]["schemas"]
    for path, operations in raw_schema["paths"].items():
        for parameter in itertools.chain(*(operation.get("parameters", ()) for operation in operations.values())):
            name = parameter["name"]
            if name == "name":
                name = WHAT_A_NAME_NAMES.get(path.split("/")[2], name)
            elif name == "cursor":
                name = f"cursor of {path}"
            if name in THERE_IS and name not in IDS:
                parameter["schema"]["enum"] = THERE_IS[name]
    for body in ("Submission", "BatchItem", "Replay", "CancelMany", "RetryMany", "Retry", "ChangeTask"):
        properties = schemas[body]["properties"]
        for name in properties.keys() & {"queue", "task_type"}:
            for part in properties[name].get("anyOf", [properties[name]]):
                if part["type"] == "string":
                    part["enum"] = THERE_IS[name]
        for name in properties.keys() & {"args", "kwargs"}:
            for part in properties[name].get("anyOf", [properties[name]]):
                if part["type"] == "array":
                    part["items"] = ANY_JSON
                elif part["type"] == "object":
                    part |= {"additionalProperties": ANY_JSON, "propertyNames": TEXT}
    schemas["AnyJson"] = {
        "anyOf": [
            *({"type": kind} for kind in ("null", "boolean", "number")),
            TEXT,
            {"type": "array", "items": ANY_JSON},
            {"type": "object", "additionalProperties": ANY_JSON, "propertyNames": TEXT},
        ]
    }


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give a request that fits what no schema can ask of it: what depends on the clock, on the requests before it, or
    on another of its parameters.
    """
    fits = case.meta is not None and case.meta.generation.mode.is_positive
    if fits:
        path, query = case.path_parameters or {}, case.query or {}
        for name in IDS & path.keys():
            if path[name] not in ANSWERED:
                case.path_parameters = path | {name: THERE_IS[name][0]}
        if path.get("scope") == "task_type" and path["name"] not in THERE_IS["task_type"]:
            case.path_parameters = path | {"name": THERE_IS["task_type"][0]}
        elif path.get("scope") in ("dependency", "worker") and WORD.fullmatch(path["name"]) is None:
            case.path_parameters = path | {"name": "pay.example.org"}
        most = MOST_STEPS.get(case.operation.definition.raw["operationId"])
        if most is not None and "window_seconds" in query:
            longest = most * float(query.get("step_seconds", 86_400))
            if float(query["window_seconds"]) > longest:
                case.query = query | {"window_seconds": longest}
        if isinstance(query.get("tag"), list):
            case.query = query | {"tag": [*{tag.partition(":")[0]: tag for tag in query["tag"]}.values()]}
    body = copy.deepcopy(case.body)
    for task in _tasks(body):
        if fits and isinstance(task.get("expires_at"), str):
            task["expires_at"] = LATER + task["expires_at"][4:]
        if isinstance(key := task.pop("idempotency_key", None), str):
            task["idempotency_key"] = _own(key, task, fits=fits)
    if fits and isinstance(body, dict):
        case.body = body
    headers = case.headers or {}
    if isinstance(key := headers.get("Idempotency-Key"), str):
        asked = [case.operation.label, case.path_parameters, body if isinstance(body, dict) else None]
        if (own := _own(key, asked, fits=fits)) != key:
            case.headers = {**headers, "Idempotency-Key": own}
    if SENT:
        name, value = SENT[next(TURNS) % len(SENT)]
        case.headers = {**(case.headers or {}), name: value}


@schemathesis.hook  # type: ignore[untyped-decorator]
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember which ids there are."""
    if response.status_code < 300:
        ANSWERED.update(set(ID.findall(response.text)) - OWN)


def _tasks(body: object) -> Iterator[dict[str, Any]]:
    """The submissions in a body, if it looks as if it had any."""
    if isinstance(body, dict):
        yield body
        tasks = body.get("tasks")
        yield from (task for task in (tasks if isinstance(tasks, list) else ()) if isinstance(task, dict))


KEYS: dict[str, str] = {}
"""What each key was given with first."""
NUMBERS = itertools.count()


def _own(key: str, body: object, *, fits: bool) -> str:
    """The key; another one where it stands for another body already, and should not."""
    bare = key.strip(" ")
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1]
    text = json.dumps(body, sort_keys=True)
    return key if KEYS.setdefault(bare, text) == text or not fits else f"key-{next(NUMBERS)}"


@schemathesis.check  # type: ignore[untyped-decorator]
def refused_only_for_what_no_schema_says(ctx: Any, response: Any, case: Any) -> None:
    """A request that fits the document of this installation is done, or refused as ``REFUSALS`` has it."""
    if case.meta is None or not case.meta.generation.mode.is_positive or is_unexpected_http_status_case(case):
        return
    operation = case.operation.definition.raw["operationId"]
    problems = [*_problems(json.loads(response.content))] if response.status_code in (207, *range(400, 600)) else []
    found = {problem["type"].rpartition(":")[2] for problem in problems}
    assert found <= REFUSALS.get(operation, set()), f"{response.status_code} although it fits: {problems}"


def _problems(answer: dict[str, Any]) -> Any:
    """The problems of an answer: of a batch, those of its items."""
    if "results" in answer:
        yield from (result["problem"] for result in answer["results"] if result and result.get("problem"))
    elif "type" in answer:
        yield answer
