"""The configured channels of one process: gives a message to the one it is for."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pointsman_service.alert import mail, webhook
from pointsman_service.alert.delivering import Delivered
from pointsman_service.alert.wording import moment
from pointsman_service.channel_settings import WebhookChannel
from pointsman_service.settings import Settings


class Channels:
    """Delivers one message at a time; every attempt is bounded by its channel's time limit."""

    def __init__(self, settings: Settings) -> None:
        self.by_name = {channel.name: channel for channel in settings.alert_channels}
        self._allowed = settings.alert_allow_private_targets

    async def deliver(self, name: str, message_id: str, created_at: datetime, message: Mapping[str, Any]) -> Delivered:
        """One attempt. Raises ``NotDelivered``, and ``KeyError`` for a channel that there is not."""
        channel = self.by_name[name]
        if isinstance(channel, WebhookChannel):
            at = moment(created_at)
            assert at is not None
            return await webhook.deliver(channel, message_id, at, message, time.time(), allowed=self._allowed)
        return await mail.deliver(channel, message_id, created_at, message)
