"""The pulse of a node: it beats while the node consumes, or has a good reason not to."""

import logging
import time

from pointsman.node.node import Node
from pointsman_contract.pulse import PULSE_SECONDS, PulseFile

logger = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
"""A consumer that stands still for so long, while Redis answers, hangs."""

_LOG_SECONDS = 60.0


class Pulse:
    """Called from the thread of the beats, so that a node whose thread died falls silent, too.

    A node without Redis is well, and so is one that drains: starting it again would only cost what it runs.
    ``forks`` is False for a pool that runs tasks in the consumer's own thread or beside it: then only the thread of
    the beats is judged.
    """

    def __init__(self, node: Node, *, forks: bool, stuck_seconds: float = STUCK_SECONDS) -> None:
        path = node.settings.pulse_file
        self._file = None if path is None else PulseFile(path)
        self._node = node
        self._forks = forks
        self._stuck_seconds = stuck_seconds
        self._consuming = -1
        self._turned_at = time.monotonic()
        self._beaten_at = float("-inf")
        self._logged_at = float("-inf")

    def turn(self, *, redis_answers: bool) -> None:
        """Beat when it is time to and the node is well."""
        now = time.monotonic()
        if self._turns() or not redis_answers:
            self._turned_at = now
        if self._file is None or now - self._beaten_at < PULSE_SECONDS:
            return
        if now - self._turned_at > self._stuck_seconds:
            if self._may_log(now):
                logger.error("the consumer has stood still for %.0f s: no more pulse", now - self._turned_at)
            return
        try:
            self._file.beat()
            self._beaten_at = now
        except OSError as error:
            if self._may_log(now):
                logger.error("the pulse cannot be written: %s", error)

    def _turns(self) -> bool:
        before, self._consuming = self._consuming, self._node.consuming
        return self._consuming != before or not self._forks or self._node.slots.stopping

    def _may_log(self, now: float) -> bool:
        if now - self._logged_at <= _LOG_SECONDS:
            return False
        self._logged_at = now
        return True
