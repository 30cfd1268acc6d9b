"""A consumer that no message can end: what is no task, or what Celery fails at, is set aside before it does harm."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

from pointsman.connection import AWAY, RedisConnection
from pointsman.node.node import current_node
from pointsman.parent.task_message import check
from pointsman.settings import settings
from pointsman.transport.envelope import NotAMessage
from pointsman.transport.setting_aside import Word, as_text, call
from pointsman_contract.set_aside import UNKNOWN_QUEUE

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5


class SetsAside(Consumer):
    """Celery's consumer; each message is checked first, and none of Celery's own ways to drop one leaves no trace.

    Of the same message a node may tell twice when it dies in between, never not at all.
    """

    connection_errors: Any
    timer: Any
    _to_keep: RedisConnection | None = None

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """Celery's handler of one message, behind the check."""
        received = super().create_task_handler(*args, **options)
        belief = current_node().belief

        def take(message: Any) -> None:
            try:
                check(message)
                belief.check(message, self._queue_of(message))
            except NotAMessage as fault:
                self.set_aside(message, str(fault))
                return
            try:
                received(message)
            except self.connection_errors:
                raise
            except Exception as error:
                logger.exception("Celery fails at a message, and the node goes on without it")
                self.set_aside(message, f"Celery failed at it: {type(error).__name__}")

        return take

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Set aside a message that is no task."""
        self.set_aside(message, "it is no task", partial(super().on_unknown_message, body, message))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Set aside a message of a task type that this worker does not know. Whoever waits for a result is told as by
        Celery.
        """
        reason = "its task type is not known to this worker"
        self.set_aside(message, reason, partial(super().on_unknown_task, body, message, exc))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message cannot be read."""
        reason = f"Celery cannot read it: {type(exc).__name__}"
        self.set_aside(message, reason, partial(super().on_invalid_task, body, message, exc))

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body cannot be read. Remote control comes here, too; that is not held and nobody misses it."""
        if message.delivery_tag not in message.channel.qos._delivered:
            super().on_decode_error(message, exc)
            return
        self.set_aside(message, f"its body cannot be read: {type(exc).__name__}")

    def set_aside(self, message: Any, reason: str, then: Callable[[], object] | None = None) -> None:
        """Keep, count and tell ``message``; ``then`` what Celery does with it, or acknowledge it.

        Without Redis it is tried again until it can be; until then the message can be given to another worker.
        """
        item = as_text(getattr(message, "_raw", None))
        headers = message.headers if isinstance(message.headers, dict) else {}
        queue = self._queue_of(message)
        logger.error("%d bytes on queue %s are set aside: %s", len(item), queue, reason)
        keys, words = call(queue, str(message.delivery_tag), item, reason, headers.get("id"), headers.get("task"))
        self._keep(keys, words, then or partial(self._acknowledge, message))

    def _keep(self, keys: tuple[str, ...], words: tuple[Word, ...], then: Callable[[], object]) -> None:
        if self._to_keep is None:
            self._to_keep = RedisConnection(settings())
        try:
            self._to_keep.script("set_aside", keys, (), words)
        except AWAY as error:
            logger.info("a message is set aside later: %s", error)
            self._to_keep.close()
            self.timer.call_after(_AGAIN_SECONDS, self._keep, (keys, words, then))
            return
        try:
            then()
        except self.connection_errors:
            raise
        except Exception as error:
            # It is kept and gone from the broker.
            logger.info("Celery could not drop a message that was set aside: %r", error)

    def _acknowledge(self, message: Any) -> None:
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)

    def _queue_of(self, message: Any) -> str:
        in_hand = getattr(message.channel, "queue_in_hand", "")
        if in_hand:
            return str(in_hand)
        named = (message.delivery_info or {}).get("routing_key")
        return named if isinstance(named, str) and named in self.app.amqp.queues.consume_from else UNKNOWN_QUEUE
