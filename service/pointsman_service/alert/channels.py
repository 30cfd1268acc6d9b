"""The configured channels of one process: gives a message to the one it is for."""

import time
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from pointsman_service.alert.delivering import Delivered
from pointsman_service.alert.wording import moment
from pointsman_service.channel_settings import WebhookChannel
from pointsman_service.settings import Settings

_SENDERS: Final = {"webhook": "pointsman_service.alert.webhook", "email": "pointsman_service.alert.mail"}
"""What sends to a kind of channel, with a library of its own that who has no such channel does without."""


class Channels:
    """Delivers one message at a time; every attempt is bounded by its channel's time limit."""

    def __init__(self, settings: Settings) -> None:
        self.by_name = {channel.name: channel for channel in settings.alert_channels}
        self._allowed = settings.alert_allow_private_targets
        for kind in {channel.kind for channel in settings.alert_channels}:
            # Not with the first message: everything else would wait meanwhile.
            import_module(_SENDERS[kind])

    async def deliver(self, name: str, message_id: str, created_at: datetime, message: Mapping[str, Any]) -> Delivered:
        """One attempt. Raises ``NotDelivered``, and ``KeyError`` for a channel that there is not."""
        channel = self.by_name[name]
        if isinstance(channel, WebhookChannel):
            from pointsman_service.alert import webhook

            at = moment(created_at)
            assert at is not None
            return await webhook.deliver(channel, message_id, at, message, time.time(), allowed=self._allowed)
        from pointsman_service.alert import mail

        return await mail.deliver(channel, message_id, created_at, message)
