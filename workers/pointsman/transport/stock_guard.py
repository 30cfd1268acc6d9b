"""kombu's own transport, which would end the node at a message that it cannot open."""

import logging
from typing import Any

from kombu.transport import redis as stock
from kombu.utils.encoding import bytes_to_str

from pointsman.transport.envelope import opened
from pointsman.transport.setting_aside import command, reason_of

logger = logging.getLogger(__name__)


def guard(channel: Any) -> None:
    """A channel of kombu's now sets aside what it cannot open; with its node it may lose a message as before."""
    if type(channel) is stock.Channel:
        channel.handlers["BRPOP"] = _Reader(channel)


class _Reader:
    """kombu's ``_brpop_read`` with a look at what was read before it is delivered."""

    def __init__(self, channel: stock.Channel) -> None:
        self._channel: Any = channel

    def __call__(self, **options: Any) -> Any:
        channel = self._channel
        # kombu reads, opens and delivers in one method: what it reads is looked at between the first two.
        client = channel.client
        parse = client.parse_response

        def looked_at(*args: Any, **more: Any) -> Any:
            answer = parse(*args, **more)
            return answer if not answer or self._opens(*answer) else None

        client.parse_response = looked_at
        try:
            return channel._brpop_read(**options)
        finally:
            del client.parse_response

    def _opens(self, key: bytes, item: bytes) -> bool:
        channel = self._channel
        queue = channel.queue_in_hand = bytes_to_str(key).rsplit(channel.sep, 1)[0]
        try:
            channel.Message(opened(item), channel=channel)
        except Exception as error:
            reason = reason_of(error)
            logger.error("%d bytes on queue %s are set aside: %s", len(item), queue, reason)
            with channel.conn_or_acquire() as other, other.pipeline(transaction=False) as pipe:
                pipe.execute_command(*command(queue, "", item, reason))
                pipe.execute()
            return False
        return True
