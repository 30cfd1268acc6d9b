"""What a worker parent and its children have in common: one node of Celery, from its start to its end."""

import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.node.believed import Belief
from pointsman.node.slots import Slots
from pointsman.settings import Settings
from pointsman_contract.nodes import pool_of

if TYPE_CHECKING:
    from pointsman.node.voice import Voice


@dataclass(slots=True)
class Node:
    """One start of one worker parent. Made before the first fork, so that the children inherit it."""

    name: str
    """The Celery node name, e.g. ``critical@host``."""
    settings: Settings
    slots: Slots
    processes: int
    queues: Sequence[str]
    """What it is started to consume."""
    owner: str = ""
    """Unique to this start: the node name and a random part."""
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    started_at: float = field(default_factory=time.time)
    consumed: Callable[[], list[str]] | None = None
    """What it consumes now; None before the consumer was up once. Safe to call in any thread."""
    consuming: int = 0
    """Rises while the consumer's event loop turns."""
    reserved: Callable[[], list[str]] = list
    """The delivery tags of the messages it has fetched and not acknowledged. Safe to call in any thread."""
    ready: bool = False
    """Whether the consumer has been up once."""
    ejected: bool = False
    """Whether it shall be off its queues (``pointsman.parent.ejection``)."""
    is_off: bool = False
    """Whether it is."""
    ending_since: float | None = None
    """Monotonic; since when its children are being ended, what they run with them. None: they finish what they run."""
    told: threading.Event = field(default_factory=threading.Event)
    """Set once Redis was asked whether it is ejected."""
    voice: "Voice | None" = None
    """Reports events from the parent's event loop; None in its children."""
    belief: Belief = field(init=False)
    """Which messages it runs."""
    terminated: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=1000))
    """The last tasks whose run Celery was told to terminate, and by whom."""

    def __post_init__(self) -> None:
        self.owner = self.owner or f"{self.name}#{secrets.token_hex(4)}"
        self.belief = Belief(self.settings.trust)

    @property
    def pool(self) -> str:
        """The pool its name belongs to."""
        return pool_of(self.name)


_current: list[Node] = []


def current_node() -> Node:
    """The node this process belongs to. Raises ``RuntimeError`` outside of a worker."""
    if not _current:
        raise RuntimeError("a managed task runs only in a worker: celery -A pointsman worker")
    return _current[0]


def is_worker() -> bool:
    """Whether this process belongs to a node."""
    return bool(_current)


def become(node: Node) -> None:
    """Make ``node`` this process's."""
    _current[:] = [node]
