"""Commands that a page shows, to be copied into a shell."""

import json
from uuid import UUID

from pointsman_service.dashboard.asking import Ask


def api_of(ask: Ask) -> str:
    """Where the API is, as far as this process knows: the address that alerts lead to, or its own port."""
    settings = ask.parts.settings
    return (settings.alert_base_url or f"http://127.0.0.1:{settings.port}").rstrip("/")


def task_command(ask: Ask, task_id: UUID) -> str:
    """Asks for a task."""
    return f"curl -s {api_of(ask)}/v1/tasks/{task_id}"


def submit_command(ask: Ask) -> str:
    """Submits a first task."""
    names = ask.parts.catalogue.names
    body = json.dumps({"task_type": "echo" if not names or "echo" in names else names[0]})
    return f"curl -s -H 'Content-Type: application/json' -d '{body}' {api_of(ask)}/v1/tasks"
