"""What has left the broker's lists: they are first in, first out, so the moment their next message was sent tells."""

from collections.abc import Sequence

from contract.queues import MAX_PRIORITY, step_of
from service.broker import Broker
from service.store import clock
from service.store.missing import Before
from service.store.store import Connection


async def left_their_list(
    connection: Connection, broker: Broker, queues: Sequence[str], margin_seconds: float
) -> list[Before]:
    """For each queue and priority the moment before which everything sent has left its list.

    A row is marked sent before its message is published, so ``margin_seconds`` is the longest that this may take: what
    was sent within it, or after the next message, is left out. A list whose next messages are all foreign is, too.
    """
    before = await clock.now(connection)
    broker_now, oldest = await broker.oldest()
    after = await clock.now(connection)
    offset = (before + after) / 2 - broker_now
    found = []
    for queue in queues:
        for priority in range(MAX_PRIORITY + 1):
            at = oldest[queue, step_of(priority)]
            if at is not None:
                found.append(Before(queue, priority, min(at + offset, before) - margin_seconds))
    return found
