"""Servers of other people, as a scenario has them: an HTTP service that dies and heals, a mail server that refuses, a
receiver of webhooks.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from pydantic_core import to_json
from standardwebhooks import Webhook

from tests.peers.http import HTTPPeer, Recorded, Reply
from tests.peers.smtp import SMTPPeer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFUSED = "refused@example.org"


class Outside:
    """An async context manager of all three."""

    def __init__(self) -> None:
        self.healthy = True
        self.answer_seconds = 0.05
        self.most_at_once = 0
        """Calls under way at one moment, since this was last set to 0."""
        self.calls: list[float] = []
        """When each reached the service, monotonic."""
        self._under_way = 0
        self._lock = threading.Lock()
        self._exits = ExitStack()
        self._service, self._hook = HTTPPeer(), HTTPPeer()
        self.mail = SMTPPeer(refusals={REFUSED: "451 4.3.0 try again later"})
        self._service.on("/call", self._answer)
        self._hook.on("/hook", Reply(200))
        self.url = f"{self._service.url}/call"

    @property
    def variables(self) -> Mapping[str, str]:
        """How the installation finds them."""
        channel = {"kind": "webhook", "name": "on-call", "url": f"{self._hook.url}/hook", "secrets": [SECRET]}
        return {
            "POINTSMAN_ALERT_CHANNELS": to_json([channel]).decode(),
            "POINTSMAN_ALERT_ALLOW_HTTP": "true",
            "POINTSMAN_ALERT_ALLOW_PRIVATE_TARGETS": "true",
            "POINTSMAN_SMTP_HOST": "127.0.0.1",
            "POINTSMAN_SMTP_PORT": str(self.mail.port),
            "POINTSMAN_SMTP_TLS": "none",
            "POINTSMAN_SMTP_SENDER": "pointsman@example.org",
        }

    def since(self, moment: float) -> int:
        """Calls that reached the service at a monotonic moment or later."""
        return sum(at >= moment for at in self.calls)

    def messages(self, kind: str, subject: str) -> list[Any]:
        """Alerts that arrived with a signature that is right."""
        found = [Webhook(SECRET).verify(one.body, one.headers) for one in self._hook.requests]
        return [one["data"] for one in found if one["type"] == kind and one["data"]["subject"] == subject]

    async def __aenter__(self) -> Self:
        for peer in (self._service, self._hook, self.mail):
            self._exits.enter_context(peer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _answer(self, request: Recorded) -> Reply:
        with self._lock:
            healthy = self.healthy
            self.calls.append(time.monotonic())
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        time.sleep(self.answer_seconds)
        with self._lock:
            self._under_way -= 1
        return Reply(200 if healthy else 503, b"answered")
