"""Celery's consumer, which outlives a broker that is away, and reports messages that no task of this worker can run."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.exceptions import OutOfMemoryError

from pointsman.connection import AWAY, RedisConnection
from pointsman.node.keeper import Note
from pointsman.node.node import current_node
from pointsman.parent.set_aside import SetsAside
from pointsman.parent.stopping import begin_to_end
from pointsman.run.plain_only import is_managed
from pointsman.settings import settings
from pointsman_contract.event_text import body_text
from pointsman_contract.events import EventKind, StartedBody
from pointsman_contract.message import HEADER

logger = logging.getLogger(__name__)

_REPORT_AGAIN_SECONDS = 0.5


class PointsmanConsumer(SetsAside):
    """Celery's consumer; a managed message that no task of this worker can run becomes an event, not a loop."""

    connection: Any
    connection_errors: Any
    timer: Any
    _redis: RedisConnection | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A Redis that is full refuses what a worker needs to go on: it connects again instead of ending.
        self.connection_errors = (*self.connection_errors, OutOfMemoryError)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The task type is not in this worker's registry."""
        if not is_managed(message):
            super().on_unknown_task(body, message, exc)
            return
        self._refuse(message, f"task type {message.headers.get('task')} is not known to this worker")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message cannot be read."""
        if not is_managed(message):
            super().on_invalid_task(body, message, exc)
            return
        self._refuse(message, str(exc))

    def cancel_active_requests(self) -> None:
        """Celery's, at a cold shutdown: its signal comes only when the children are gone."""
        begin_to_end(current_node())
        super().cancel_active_requests()

    def ensure_connected(self, conn: Any) -> Any:
        """Celery's, but it does not wait up to half a minute for a broker that is back."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=2)
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery's, but the worker outlives a broker that is away while messages are unacknowledged.

        kombu 5.7 then closes the connection twice; the second time it tries to give those messages back on a transport
        it has already taken apart, and the AttributeError would end the worker.
        """
        if self.connection is not None:
            self.connection.close = partial(_close_quietly, self.connection.close)
        super().on_connection_error_after_connected(exc)

    def _refuse(self, message: Any, reason: str) -> None:
        headers = message.headers
        named = {"task_id": headers.get("id"), "task_type": headers.get("task")}
        logger.error("message of task %s is dropped and reported: %s", named["task_id"], reason, extra=named)
        header = headers[HEADER]
        dispatch = header.get("dispatch", 0) if isinstance(header, dict) else 0
        unknown: StartedBody = {
            "task_type": str(headers.get("task")),
            "queue": str((message.delivery_info or {}).get("routing_key") or ""),
            "worker": current_node().owner,
            "dispatch": dispatch if isinstance(dispatch, int) else 0,
        }
        self._report_and_acknowledge(message, Note(EventKind.UNKNOWN, str(headers.get("id")), body_text(unknown)))

    def _report_and_acknowledge(self, message: Any, note: Note) -> None:
        """The message is acknowledged only once Redis has the note; until then it can be given to another worker."""
        if self._redis is None:
            self._redis = RedisConnection(settings())
        try:
            accepted = self._redis.script("append", *note.call(self._redis.stamp))[0] == "ok"
        except AWAY:
            self._redis.close()
            accepted = False
        if accepted:
            message.ack_log_error(logger, self.connection_errors)
        else:
            self.timer.call_after(_REPORT_AGAIN_SECONDS, self._report_and_acknowledge, (message, note))


def _close_quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception as error:
        logger.debug("closing a lost connection: %r", error)
