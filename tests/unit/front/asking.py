"""Every operation of the API as its document tells it, asked in one valid way."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pointsman_service.app.application import openapi_document

_ID = "01a20272-c811-71a5-99c0-510fde22a57d"
_NAMES = {"queues": "email", "workers": "email@host-1", "alert-channels": "on-call", "task-types": "echo"}
_BREAKER = {"scope": "dependency", "name": "api.weather.com"}
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Operation:
    """One operation, and a request for it."""

    id: str
    method: str
    template: str
    path: str
    body: bytes | None
    """None: it takes none."""

    def __str__(self) -> str:
        return self.id

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE


def operations() -> Iterator[Operation]:
    """All of them."""
    for template, of_path in openapi_document()["paths"].items():
        for method, described in of_path.items():
            content = described.get("requestBody", {}).get("content", {}).get("application/json")
            body = None if content is None else json.dumps(content["example"]).encode()
            query = "?state=open" if described["operationId"] == "list_alerts" else ""
            yield Operation(described["operationId"], method.upper(), template, _filled(template) + query, body)


def _filled(template: str) -> str:
    kind = template.split("/")[2] if template.startswith("/v1/") else ""
    values: dict[str, Any] = dict.fromkeys(("task_id", "replay_id", "act_id", "alert_id", "error_id", "key_id"), _ID)
    values |= _BREAKER if kind == "breakers" else {"name": _NAMES.get(kind, "x")}
    return template.format(**values)
