"""A node that is taken off its queues: it finishes what runs, takes nothing new, and goes on beating.

The thread of the beats reads from Redis what is wanted; the consumer's own thread does it. Celery's list of the queues
a node consumes stays as it is, so that a lost connection, ``add_consumer`` and ``cancel_consumer`` find it in order.
"""

import logging
from typing import Any

from pointsman.connection import Word
from pointsman.node.node import Node
from pointsman_contract.keys import EJECTED, EJECTED_KNOWN

logger = logging.getLogger(__name__)


def query(node: Node) -> tuple[Word, ...]:
    """The command that asks whether the node is ejected."""
    return ("HMGET", EJECTED, EJECTED_KNOWN, node.name)


def parse(node: Node, answer: list[str | None]) -> None:
    """Note the answer. Redis may have lost what it knew: then what was wanted last still is."""
    known, ejected = answer
    if known is not None:
        node.ejected = ejected is not None
    node.told.set()


def apply(node: Node, consumer: Any) -> None:
    """Stop or go on fetching as is wanted. In the consumer's thread; raises the connection's errors."""
    tasks = consumer.task_consumer
    if tasks is None:
        return
    if node.ejected:
        for queue in list(tasks.queues):
            tasks.cancel_by_queue(queue)
    else:
        for queue in consumer.app.amqp.queues.consume_from.values():
            if not tasks.consuming_from(queue):
                tasks.add_queue(queue)
        tasks.consume()
    if node.is_off != node.ejected:
        node.is_off = node.ejected
        node.slots.release_waiting(node.ejected)
        if node.ejected:
            logger.warning("the control plane took this node off its queues; it finishes what runs")
        else:
            logger.info("this node is back on its queues")


def must_apply(node: Node, consumer: Any) -> bool:
    """Whether ``apply`` would change anything: it was told otherwise, or somebody added a queue meanwhile."""
    if node.ejected:
        return not node.is_off or bool(consumer.task_consumer and consumer.task_consumer.queues)
    return node.is_off
