"""All workers of a broker must agree on the visibility timeout: kombu lets the smallest of any of them win for all.

One that is set otherwise would have the others' long tasks delivered again while they run.
"""

from pointsman.connection import RedisConnection
from pointsman_contract.keys import VISIBILITY_SECONDS, VISIBILITY_TIMEOUT


class OtherVisibilityTimeout(SystemExit):
    """Workers that run have another visibility timeout."""


def agree(redis: RedisConnection, seconds: int) -> None:
    """State this node's timeout, or find that others state the same. Raises ``OtherVisibilityTimeout``, or one of
    ``pointsman.connection.AWAY``.
    """
    if redis.command("SET", VISIBILITY_TIMEOUT, seconds, "EX", VISIBILITY_SECONDS, "NX"):
        return
    stated = redis.command("GET", VISIBILITY_TIMEOUT)
    if stated is None or not stated.isdecimal():
        # It has just run out, or was nobody's.
        state(redis, seconds)
    elif int(stated) != seconds:
        raise OtherVisibilityTimeout(
            f"Workers of this broker run with a visibility timeout of {stated} s, this one has {seconds} s, and the"
            " smallest wins for all: set POINTSMAN_VISIBILITY_TIMEOUT_SECONDS alike. To change it stop every worker for"
            f" {VISIBILITY_SECONDS} s."
        )


def state(redis: RedisConnection, seconds: int) -> None:
    """Say it again, whatever stands there: a node that runs has agreed. Raises one of ``pointsman.connection.AWAY``."""
    redis.command("SET", VISIBILITY_TIMEOUT, seconds, "EX", VISIBILITY_SECONDS)
