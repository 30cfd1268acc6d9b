"""The Celery nodes of a pool: how they are named and started.

``./scripts/up`` and ``./scripts/celery_workers.sh`` both ask here.
"""

import os
import re

from pointsman_contract.queues import PoolSpec

NUMBERS = (1, 2)
"""A pool has one node; a rolling restart has two for a moment."""

AS_ROOT = "this node runs as root: "
"""How the warning of a node begins that does, once, when it starts."""

_NUMBER = re.compile(r"-\d+$")
_ROOT_WARNING = "ignore:You're running the worker with superuser privileges"


def node_name(pool: str, number: int = 1, host: str = "%h") -> str:
    """``email@host``, and ``email-2@host`` for the second: no pool's own name ends so.

    ``%h`` is the host as Celery finds it.
    """
    return f"{pool}@{host}" if number == 1 else f"{pool}-{number}@{host}"


def pool_of(node: str) -> str:
    """The pool of a node: its name before the ``@``, without a number."""
    return _NUMBER.sub("", node.partition("@")[0])


def worker_words(pool: PoolSpec, number: int = 1, log_level: str = "WARNING") -> tuple[str, ...]:
    """What follows the Python interpreter in the command line of a node."""
    # Celery warns root at length and hardly says why it matters; a line of ours does.
    quiet = ("-W", _ROOT_WARNING) if os.geteuid() == 0 else ()
    # Gossip and mingle let nodes talk to each other at start and on every event; nothing here needs it.
    return (
        *quiet, "-m", "celery", "-A", "pointsman", "-q", "worker", "-n", node_name(pool.name, number),
        "-Q", ",".join(pool.queues), "-c", str(pool.processes), "--prefetch-multiplier", str(pool.prefetch_multiplier),
        "-P", "prefork", "--without-gossip", "--without-mingle", "-l", log_level,
    )  # fmt: skip
