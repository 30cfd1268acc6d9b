"""Where this library is hooked into Celery's worker: its boot steps, its consumer, its signals."""

import atexit
import gc
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps, signals
from redis.exceptions import OutOfMemoryError

from pointsman.app import SHIPPED_TASKS
from pointsman.connection import AWAY, RedisConnection
from pointsman.node.keeper import Note
from pointsman.node.node import Node, become, current_node
from pointsman.node.slots import Slots
from pointsman.node.voice import Voice
from pointsman.parent import remote  # noqa: F401 - its commands take the place of Celery's
from pointsman.parent.beats import Beats
from pointsman.parent.catalogue import Catalogue
from pointsman.parent.ejection import apply, must_apply
from pointsman.parent.pulse import Pulse
from pointsman.parent.set_aside import SetsAside
from pointsman.parent.stopping import begin_to_end
from pointsman.parent.task_modules import look_for_tasks, say_what_is_left_out
from pointsman.parent.timers import forget_cancelled
from pointsman.parent.versions import understand
from pointsman.parent.visibility import agree
from pointsman.run import native
from pointsman.run.child import existing_child
from pointsman.run.plain_only import is_managed, keep_plain
from pointsman.settings import Settings, settings
from pointsman.transport.qos import held_by
from pointsman.transport.stock_guard import guard
from pointsman.transport.transport import Transport
from pointsman_contract.event_text import body_text
from pointsman_contract.events import EventKind, StartedBody
from pointsman_contract.message import HEADER

logger = logging.getLogger(__name__)

_SPARE_SLOTS = 64
"""For a pool that is made to grow."""
_CONSUMING_SECONDS = 1.0
_REPORT_AGAIN_SECONDS = 0.5


class NodeStep(bootsteps.StartStopStep):
    """Makes the node before the pool forks, and its beats after."""

    requires = ("celery.worker.components:Pool",)
    beats: Beats | None = None
    forks = False

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        ours = settings()
        NodeStep.forks = _forks(worker, allowed=ours.allow_pool_without_time_limits)
        _agree(ours)
        processes = worker.max_concurrency or worker.concurrency
        node = Node(
            name=worker.hostname,
            settings=ours,
            slots=Slots(4 * processes + _SPARE_SLOTS),
            processes=processes,
            queues=list(worker.app.amqp.queues.consume_from),
        )
        become(node)
        if os.geteuid() == 0:
            logger.warning("this node runs as root: whoever gets code into a task owns this machine")
        say_what_is_left_out(SHIPPED_TASKS)
        look_for_tasks(worker.app, ours.modules())
        self.catalogue = Catalogue.of(worker.app, ours.topology, ours.retry_policy)
        for task in self.catalogue.plain:
            keep_plain(task)
        self.node = node
        # What is there now stays: a collection in a child would copy every page it shares with its parent.
        gc.collect()
        gc.freeze()

    def start(self, parent: Any) -> None:  # noqa: ARG002 - Celery's name
        """The pool has forked: a thread may start."""
        NodeStep.beats = Beats(self.node, self.catalogue, Pulse(self.node, forks=self.forks))
        NodeStep.beats.start()
        self.node.voice = Voice(self.node.settings, NodeStep.beats.keeper)
        # Of a cold shutdown Celery's signal says nothing at its end.
        atexit.register(_last_words, self.node)
        if not self.forks:
            native.watch()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's name
        """The pool will drain. A shutdown by remote control sends no signal."""
        self.node.slots.stop_waiting()

    def terminate(self, parent: Any) -> None:  # noqa: ARG002 - Celery's name
        """The pool will be ended."""
        begin_to_end(self.node)


def _agree(ours: Settings) -> None:
    """Raises ``SystemExit`` when the control plane speaks another contract, or other workers have another timeout."""
    redis = RedisConnection(ours)
    try:
        understand(redis)
        agree(redis, ours.visibility_timeout_seconds)
    except AWAY as error:
        logger.info("what control plane and other workers go by is not known yet: %s", error)
    finally:
        redis.close()


def _forks(worker: Any, *, allowed: bool) -> bool:
    """Whether tasks run in children. Raises ``SystemExit`` for a pool that cannot keep the promises."""
    pool: str = worker.pool_cls.__module__.rpartition(".")[2]
    if pool == "prefork":
        if worker.pool_start_method != "fork":
            raise SystemExit(
                "Pointsman workers share memory with their children: worker_pool_start_method must be fork"
            )
    elif not allowed:
        raise SystemExit(
            f"The {pool} pool ignores time limits: a task that hangs would hold its process for ever. Use the prefork "
            "pool, or set POINTSMAN_ALLOW_POOL_WITHOUT_TIME_LIMITS=true."
        )
    return pool == "prefork"


class Consuming(bootsteps.StartStopStep):
    """Counts while the consumer's event loop turns: a parent that lives but does not consume is seen."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._transport: Any = None

    def start(self, parent: Any) -> None:
        """The consumer is connected."""
        node = current_node()
        node.consumed = partial(_consumed, parent.app)
        node.reserved = partial(held_by, parent.task_consumer.channel)
        guard(parent.task_consumer.channel)
        # Before the event loop begins to fetch: the wanted state outlives this connection, and this process.
        node.told.wait(node.settings.redis_read_seconds)
        if must_apply(node, parent):
            apply(node, parent)
        node.ready = True
        self._transport = parent.connection.transport
        if isinstance(self._transport, Transport) and NodeStep.forks:
            self._transport.defer_acknowledgements(True)
        self._timer = parent.timer.call_repeatedly(_CONSUMING_SECONDS, partial(_tick, node, parent))

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's name
        """The consumer lost its connection, or ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if isinstance(self._transport, Transport):
            try:
                self._transport.defer_acknowledgements(False)
            except self._transport.connection_errors as error:
                logger.debug("acknowledgements wait for the channel to close: %s", error)


def _consumed(app: Any) -> list[str]:
    # list() of a dict copies it in one step, and Celery puts another in its place rather than empty it.
    return list(app.amqp.queues.consume_from)


def _tick(node: Node, consumer: Any) -> None:
    node.consuming += 1
    node.processes = consumer.pool.num_processes
    forget_cancelled(consumer.timer)
    if must_apply(node, consumer):
        # Where there is no event loop, timers have a thread of their own.
        consumer.call_soon(apply, node, consumer)


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
        logger.error("message of task %s is dropped and reported: %s", headers.get("id"), reason)
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
            accepted = self._redis.script("append", *note.call())[0] == "ok"
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


@signals.worker_process_init.connect
def _child_begins(**_: Any) -> None:
    native.watch()


@signals.worker_process_shutdown.connect
def _child_ends(**_: Any) -> None:
    child = existing_child()
    if child is not None:
        child.close()


@signals.worker_shutting_down.connect
def _shutdown_begins(**_: Any) -> None:
    current_node().slots.stop_waiting()


@signals.worker_shutdown.connect
def _shutdown_ends(**_: Any) -> None:
    if NodeStep.beats is not None:
        NodeStep.beats.stop()


def _last_words(node: Node) -> None:
    if os.getpid() == node.pid:
        _shutdown_ends()
