"""Where this library is hooked into Celery's worker: its boot steps and its signals."""

import atexit
import gc
import logging
import os
from functools import partial
from typing import Any

from celery import bootsteps, signals

import pointsman.parent.consumer  # noqa: F401 - Celery looks for it later, and children are to share its pages
from pointsman.app import SHIPPED_TASKS
from pointsman.connection import AWAY, RedisConnection
from pointsman.extras import ExtraMissing, has
from pointsman.node.node import Node, become, current_node
from pointsman.node.slots import Slots
from pointsman.node.voice import Voice
from pointsman.parent import remote
from pointsman.parent.beats import Beats
from pointsman.parent.catalogue import Catalogue
from pointsman.parent.ejection import apply, must_apply
from pointsman.parent.pulse import Pulse
from pointsman.parent.stopping import begin_to_end
from pointsman.parent.task_modules import log_left_out, look_for_tasks
from pointsman.parent.timers import forget_cancelled
from pointsman.parent.versions import understand
from pointsman.parent.visibility import agree
from pointsman.run import native
from pointsman.run.child import existing_child
from pointsman.run.plain_only import keep_plain
from pointsman.run.writing import keep_what_runs_write
from pointsman.settings import Settings, settings
from pointsman.spans import close_spans
from pointsman.task_type.given import check_given, check_schedule
from pointsman.transport.qos import held_by
from pointsman.transport.stock_guard import guard
from pointsman.transport.transport import Transport
from pointsman_contract.configuration import misspelt

logger = logging.getLogger(__name__)

_SPARE_SLOTS = 64
"""For a pool that is made to grow."""
_CONSUMING_SECONDS = 1.0


class NodeStep(bootsteps.StartStopStep):
    """Makes the node before the pool forks, and its beats after."""

    requires = ("celery.worker.components:Pool",)
    beats: Beats | None = None
    forks = False

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        ours = settings()
        NodeStep.forks = _forks(worker, allowed=ours.allow_pool_without_time_limits)
        check_given(worker.app)
        if ours.tracing and not has("otel"):
            raise SystemExit(str(ExtraMissing("POINTSMAN_TRACING", "otel")))
        if options.get("beat"):
            check_schedule(worker.app, options.get("scheduler") or worker.app.conf.beat_scheduler)
        if ours.encryption_keys is not None and not has("encryption"):
            raise SystemExit(str(ExtraMissing("POINTSMAN_ENCRYPTION_KEYS", "encryption")))
        if ours.trust.requires:
            remote.look_only()
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
        for line in misspelt():
            logger.warning("passed over: %s", line)
        if os.geteuid() == 0:
            logger.warning("this node runs as root: whoever gets code into a task owns this machine")
        log_left_out(SHIPPED_TASKS)
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
            keep_what_runs_write(self.node.settings.run_log_level)

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


@signals.worker_process_init.connect
def _child_begins(**_: Any) -> None:
    native.watch()
    keep_what_runs_write(current_node().settings.run_log_level)


@signals.worker_process_shutdown.connect
def _child_ends(**_: Any) -> None:
    child = existing_child()
    if child is not None:
        child.close()
    close_spans()


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
        close_spans()
