"""A message and a channel, for tests that change one thing of them."""

import base64
from typing import Any

from pointsman_service.channel_settings import WebhookChannel

NOW = 1_795_682_400
AT = "2026-11-26T08:30:00Z"
NEW_SECRET = "whsec_" + base64.b64encode(b"new " * 8).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"old " * 8).decode()
WORDS: dict[str, Any] = {
    "kind": "webhook",
    "name": "on-call",
    "url": "https://hooks.example/x",
    "secrets": [NEW_SECRET],
}
MESSAGE: dict[str, Any] = {
    "event": "opened",
    "id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "key": "backlog_old:email",
    "rule": "backlog_old",
    "subject": "email",
    "severity": "page",
    "summary": "The oldest task on email has been due for 9 s and not started.",
    "value": 9.0,
    "limit": 5.0,
    "unit": "s",
    "since": AT,
    "opened_at": AT,
    "resolved_at": None,
    "next_step": "Start more workers.",
    "documentation": "docs/troubleshooting.md#queue-growing",
    "link": "https://pointsman.example/v1/queues/email",
}


def webhook(**changes: Any) -> WebhookChannel:
    """A channel."""
    return WebhookChannel.model_validate(WORDS | changes)
