"""A message that waited in a node which was taken off its queues is released before its attempt begins."""

from celery.exceptions import Ignore

from pointsman.connection import AWAY, RedisConnection
from pointsman.node.keeper import Note
from pointsman_contract.events import EventKind


def release(redis: RedisConnection, task: str, started: str) -> None:
    """Have Postgres send the task to another node.

    Raises ``Ignore`` once Redis knows that it does not run here. Without Redis the gate decides.
    """
    try:
        answer = redis.script("append", *Note(EventKind.ASK, task, started).call(redis.stamp))
    except AWAY:
        redis.close()
        return
    if answer[0] == "ok":
        raise Ignore("this node is taken off its queues")
