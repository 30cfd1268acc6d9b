"""Which messages this node holds, and which acknowledgements it still owes the broker."""

import logging
from typing import Any

from kombu.transport import redis as stock
from kombu.transport import virtual

logger = logging.getLogger(__name__)

_ABSENT = object()
_MOST_TAGS = 500
"""In one command."""


def held_by(channel: Any) -> list[str]:
    """The delivery tags of all messages a channel, ours or kombu's, has and has not acknowledged. For any thread."""
    qos = channel.qos
    dirty = qos._dirty
    # list() of a dict copies it in one step.
    return [tag for tag in list(qos._delivered) if tag not in dirty]


class QoS(stock.QoS):
    """kombu's, but a fetched message is among the unacknowledged already, and acknowledgements may be sent later.

    What cannot be acknowledged or given back while the channel closes is left to the next (``left_behind``).
    """

    channel: Any
    _delivered: Any
    _dirty: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._owed: list[str] = []
        self._sent: list[str] = []

    @property
    def owes(self) -> bool:
        """Whether acknowledgements wait to be sent."""
        return bool(self._owed)

    def hold(self, tag: str) -> None:
        """A message was fetched; it counts from now on, and is given back when the channel closes before it is run."""
        self._delivered[tag] = None

    def is_unopened(self, tag: str) -> bool:
        """Whether a message was fetched and not handed over."""
        return self._delivered.get(tag, _ABSENT) is None

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message is handed over."""
        if self.is_unopened(delivery_tag):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, now or at the next turn of the event loop."""
        if self.channel.connection.defers_acknowledgements:
            self._owed.append(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or give it back."""
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def release(self, tag: str) -> None:
        """A fetched message goes back to where it was."""
        self.restore_by_tag(tag)
        self.let_go(tag)

    def let_go(self, tag: str) -> None:
        """A fetched message is no longer ours, and the broker knows it."""
        virtual.QoS.ack(self, tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """kombu's, but what it cannot read is set aside: otherwise it would end one node after the other."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            self.channel.set_aside_held(tag, f"it cannot be given back: {type(error).__name__}")

    def take_owed(self) -> list[str]:
        """Acknowledgements to send now. They are owed again unless ``settle`` follows."""
        self._sent, self._owed = self._owed[:_MOST_TAGS], self._owed[_MOST_TAGS:]
        return self._sent

    def settle(self) -> None:
        """What was taken has arrived."""
        self._sent = []

    def flush(self) -> None:
        """Send every owed acknowledgement, wait for the answer. Raises what the client raises; they stay owed then."""
        self._owed = self._sent + self._owed
        self._sent = []
        while self._owed:
            tags = self._owed[:_MOST_TAGS]
            with self.pipe_or_acquire() as pipe:
                pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
            del self._owed[: len(tags)]

    def owe(self, tags: list[str]) -> None:
        """Acknowledge these as well."""
        self._owed += tags

    def restore_unacked(self, client: Any = None) -> None:
        """Give back every held message; each is forgotten once it is."""
        while self._delivered:
            tag = next(iter(self._delivered))
            self.restore_by_tag(tag, client=client)
            self._delivered.pop(tag, None)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """The channel closes: acknowledge what is owed, give back what is held, or leave both to the next."""
        left = self.channel.left_behind
        if self._owed or self._sent:
            try:
                self.flush()
            except Exception as error:
                logger.debug("%d acknowledgements are left to the next connection: %s", len(self._owed), error)
                left.acknowledged += self._owed
                self._owed = []
        try:
            super().restore_unacked_once(stderr)
        except Exception:
            left.held += self._delivered
            self._delivered.clear()
            raise
