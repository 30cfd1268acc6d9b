"""What an API answers, for pages that are drawn from it: the examples of its own document, and an incident."""

import json
from copy import deepcopy
from typing import Any

from pointsman_service.api.now import NowView
from tests.stand.environment import ROOT

_DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
_QUEUES = ("critical", "high_priority", "email", "reports", "external_api", "maintenance")


def example(path: str, method: str = "get", status: str = "200") -> dict[str, Any]:
    """What the document says that this path answers."""
    content = _DOCUMENT["paths"][path][method]["responses"][status]["content"]["application/json"]
    found: dict[str, Any] = content.get("example") or next(iter(content["examples"].values()))["value"]
    return deepcopy(found)


def answer_schema(path: str) -> dict[str, Any]:
    """What the document says of what this path answers."""
    found: dict[str, Any] = _DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return found


def schema_of(reference: str) -> dict[str, Any]:
    """What a reference of the document means."""
    found: Any = _DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def checked(now: dict[str, Any]) -> dict[str, Any]:
    """A first page, as the API would check it."""
    NowView.model_validate(now)
    return now


# Fields that the document has and that no picture shows are as in its example.
_QUEUE = {
    "sla_seconds": 2.0, "met_today": 0.9998, "oldest_wait_seconds": None, "in_per_minute": 12.0, "out_per_minute": 12.0,
    "predicted": {"p95_seconds": 0.84, "reason": None}, "in_series": [11.0, 12.0, None, 12.0], "waiting": 0, "busy": 1,
    "processes": 2, "state": "ok", "state_since": None, "state_reason": None,
}  # fmt: skip
_TASK = "01a20271-c811-71a5-99c0-510fde22a57d"
_BREAKER = {"kind": "breaker", "name": "dependency:api.bank.example", "filter": {}}


def _part(text: str, link: Any = None) -> dict[str, Any]:
    return {"text": text, "link": link}


def incident() -> dict[str, Any]:
    """A dependency that fails, and a queue without a worker."""
    now = example("/v1/now")
    now |= {"as_of": "2026-11-26T08:34:12Z", "recorded_up_to": "2026-11-26T08:34:11.600000Z", "verdict": "degraded"}
    now["queues"] = [now["queues"][0] | _QUEUE | {"name": name} for name in _QUEUES]
    now["queues"][4] |= {
        "state": "held", "waiting": 40, "oldest_wait_seconds": 50.2, "met_today": 0.961, "in_per_minute": 80.0,
        "out_per_minute": 2.0, "sla_seconds": 10.0, "predicted": {"p95_seconds": None, "reason": "breaker_open"},
    }  # fmt: skip
    now["queues"][3] |= {"state": "no_worker", "waiting": 18, "oldest_wait_seconds": 131.0, "processes": 0}
    error = (now["causes"][0]["error"] or {}) | {
        "type": "ConnectTimeout", "message": "no answer from api.bank.example within 5 s", "task_id": _TASK,
        "count": 31,
        "where": "bank.py:41", "group_id": "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77",
    }  # fmt: skip
    failing = now["causes"][0] | {
        "severity": "ticket", "kind": "breaker_open", "subject": "dependency:api.bank.example", "acknowledged": None,
        "since": "2026-11-26T08:30:00Z", "error": error, "alert_ids": ["01a20271-c811-71a5-99c0-510fde22a57e"],
        "sentence": "api.bank.example has failed since 08:30:00 UTC (4 min): ConnectTimeout, 31 calls.",
        "parts": [
            _part("api.bank.example", _BREAKER),
            _part(" has failed since 08:30:00 UTC (4 min): "),
            _part("ConnectTimeout", {"kind": "task", "name": _TASK, "filter": {}}),
            _part(", 31 calls."),
        ],
        "consequences": [[_part("212 tasks are held, none has spent an attempt.")]],
        "being_done": [_part("It is tried again in 41 s (08:34:53 UTC).")],
        "remedies": [
            {"text": "See what the calls fail with, and mend what is called.", "link": None, "command": None}
            | {"act": None}
        ],
        "documentation": "docs/troubleshooting.md#a-breaker-is-open",
    }  # fmt: skip
    text = "reports has no live worker since 08:33:00 UTC. 18 tasks wait, the oldest for 2 min; its target is 60 s."
    command = "./scripts/celery_workers.sh start reports"
    unserved = failing | {
        "severity": "page", "kind": "no_worker", "subject": "reports", "sentence": text, "error": None,
        "being_done": [],
        "parts": [_part(text, {"kind": "queue", "name": "reports", "filter": {}})], "consequences": [],
        "remedies": [{"text": "Start its pool:", "link": None, "command": command, "act": None}],
        "acknowledged": {"at": "2026-11-26T08:33:30Z", "who": "ops", "reason": "on it"},
    }  # fmt: skip
    now["causes"] = [unserved, failing]
    now["sentence"] = f"{text} And 1 more."
    now["breakers_in_all"] = 1
    now["breakers"] = [
        now["breakers"][0] | {
            "scope": "dependency", "name": "api.bank.example", "state": "open", "error": error, "held": 212, "by": None,
            "since": "2026-11-26T08:30:00Z", "next_probe_at": "2026-11-26T08:34:53Z", "reason": None,
        }
    ]  # fmt: skip
    now["errors"] = [
        now["errors"][0] | {
            "label": "ConnectTimeout: no answer from <host> within <n> s", "task_type": "transfer", "count": 31,
            "badge": "new", "since": "2026-11-26T08:30:00Z",
        }
    ]  # fmt: skip
    queue = {"kind": "queue", "name": "email", "filter": {}}
    now["changes"] = [
        now["changes"][0] | {
            "at": "2026-11-26T08:21:00Z", "actor": "ops", "what": [_part("email", queue), _part(" paused")],
            "reason": "provider moves",
        }
    ]  # fmt: skip
    now["lately"] = [
        now["lately"][0] | {"task_type": "transfer", "figure": "failure_rate", "before": 0.002, "now": 0.9, "runs": 34}
    ]
    now["last_hour"] = now["last_hour"] | {"tasks": 12_481, "started_within_target": 0.999, "failed": 3}
    return checked(now | {"unknown": [], "running": []})


def healthy() -> dict[str, Any]:
    """All is well."""
    now = incident()
    usual = now["queues"][0]
    now |= {
        "verdict": "healthy", "causes": [], "breakers": [], "breakers_in_all": 0, "errors": [], "lately": [],
        "sentence": "All is well. 12,481 tasks in the last hour, 99.9 % started within target, 3 failed for good.",
        "queues": [usual | {"name": name} for name in _QUEUES],
    }  # fmt: skip
    return checked(now)


def unknown() -> dict[str, Any]:
    """PostgreSQL is away, and with it nearly all that could be told."""
    now = healthy()
    why = "PostgreSQL cannot be reached: the connection was refused. Submissions are refused (503)."
    now |= {
        "verdict": "unknown", "sentence": why, "recorded_up_to": None, "queues": [], "last_hour": None, "changes": [],
        "breakers_in_all": None, "unknown": [{"what": "database", "since": "2026-11-26T08:33:12Z", "why": why}],
        "running": [{"worker": "email@host-1", "task_id": _TASK, "since": None}],
    }  # fmt: skip
    return checked(now)


def workers() -> dict[str, Any]:
    """Three, of which one is silent and one was taken off."""
    found = example("/v1/workers")
    usual = found["items"][0] | {"name": "critical@host-1", "pool": "critical", "live": True, "ejected": False}
    found["items"] = [
        usual | {"on_probation": False, "busy": 1, "processes": 2},
        usual
        | {"name": "reports@host-1", "pool": "reports", "live": False, "heartbeat_age_seconds": 71.4, "busy": None},
        usual | {"name": "email@host-1", "pool": "email", "ejected": True, "ejected_reason": "a leak", "busy": 0},
    ]
    return found
