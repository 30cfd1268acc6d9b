"""A node that is stopped before its tasks are done: what they run is ended, and is nobody's failure.

Celery's cold shutdown asks its children to go and waits for them without end. Whoever stops a node waits a few seconds
and kills it with everything in it; then nobody is left to say what became of its tasks, and they wait until it is taken
for dead. So what is still there after a moment is killed by the parent, who lives to report it.
"""

import logging
import time

from pointsman.node.node import Node
from pointsman.node.slots import Phase
from pointsman.parent.cancelling import end_run

logger = logging.getLogger(__name__)

GRACE_SECONDS = 1.5
"""What a body may take to clean up once it was asked to go; ``up`` kills the whole node after five."""


def begin_to_end(node: Node) -> None:
    """From here on the death of a child is the stop's doing."""
    node.slots.stop_waiting()
    if node.ending_since is None:
        node.ending_since = time.monotonic()


def end_stragglers(node: Node) -> None:
    """Kill the children that still run something ``GRACE_SECONDS`` after they were asked to go."""
    if node.ending_since is None or time.monotonic() - node.ending_since < GRACE_SECONDS:
        return
    for slot in node.slots.taken():
        # A pool of threads runs tasks in this very process.
        if slot.phase is not Phase.RUNNING or slot.run is None or slot.pid == node.pid:
            continue
        if end_run(node, slot, slot.run):
            logger.warning(
                "task %s[%s] did not go when its node was stopped: its process is killed",
                slot.run.task_type,
                slot.run.task,
            )
