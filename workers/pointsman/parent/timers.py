"""Timers that were cancelled and still lie in the worker's heap.

Each task sets one for its time limit and cancels it at its end, and kombu forgets it only when its time would have
come: at 200 tasks a second and 300 s that is 60,000 of them, some 30 MB.
"""

import heapq
from typing import Any

_FEW = 200


def forget_cancelled(timer: Any) -> None:
    """Take cancelled entries out of a ``kombu.asynchronous.timer.Timer`` once they are the larger part of it."""
    queue = timer._queue
    if len(queue) < _FEW:
        return
    left = [scheduled for scheduled in queue if not scheduled.entry.canceled]
    if len(left) > len(queue) / 2:
        return
    heapq.heapify(left)
    # In place: the event loop holds this very list.
    queue[:] = left
