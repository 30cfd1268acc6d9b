"""What one pool process needs to run managed tasks: its slot, its gate, its reporter."""

import logging
import os
import signal
import threading
from types import FrameType

from billiard.exceptions import SoftTimeLimitExceeded

from pointsman.connection import RedisConnection
from pointsman.node.keeper import Keeper
from pointsman.node.node import Node, current_node
from pointsman.run.gate import Gate
from pointsman.run.once import Records, RedisRecords
from pointsman.run.report import Reporter
from pointsman.spans import spans_of_process
from pointsman.task_type import coroutines

logger = logging.getLogger(__name__)


class Child:
    """Made after the fork, on the first task, and used by the thread that made it."""

    def __init__(self, node: Node) -> None:
        self.owner = node.owner
        self.slots = node.slots
        self.settings = node.settings
        self.slot = node.slots.take(os.getpid())
        self.keeper = Keeper(node.settings, self.slot.show_kept)
        redis = RedisConnection(node.settings)
        self.redis = redis
        self.gate = Gate(redis, node.settings, node.owner)
        self.reporter = Reporter(redis, self.keeper, self.slot)
        self.sealer = node.settings.sealer
        self.sealing = node.settings.sealing
        self.spans = spans_of_process(on=node.settings.tracing)
        self.in_body = True
        """Whether the soft time limit may interrupt now. False at the gate and while an outcome is reported."""
        if threading.current_thread() is threading.main_thread() and os.getpid() != node.pid:
            signal.signal(signal.SIGUSR1, self._soft_time_limit)

    def _soft_time_limit(self, _number: int, _frame: FrameType | None) -> None:
        if self.in_body and not coroutines.interrupt():
            raise SoftTimeLimitExceeded()

    def records(self, task: str, token: str, attempt: int) -> Records:
        """Where the steps of one attempt are recorded."""
        return RedisRecords(self.redis, self.settings, task, token, attempt)

    def close(self) -> None:
        """The process ends: append what is left, free the slot."""
        self.keeper.close(seconds=1.0)
        self.slot.release()


_local = threading.local()


def current_child() -> Child:
    """The child of this thread, made on first use. Raises ``RuntimeError`` outside of a worker."""
    made_by, child = getattr(_local, "made", (0, None))
    if child is None or made_by != os.getpid():
        child = Child(current_node())
        _local.made = (os.getpid(), child)
    return child


def existing_child() -> Child | None:
    """The child of this thread when it has one."""
    made_by, child = getattr(_local, "made", (0, None))
    return child if made_by == os.getpid() else None
