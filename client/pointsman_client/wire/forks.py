"""Children of a fork: what their parent holds is not theirs."""

import os
from typing import Protocol
from weakref import WeakSet


class Held(Protocol):
    """What holds connections, or what threads wait with."""

    def begin_anew(self) -> None:
        """Have nothing of what the parent has. Another process reads its connections, and its threads are gone."""
        ...


_held: WeakSet[Held] = WeakSet()


def anew_in_children(held: Held) -> None:
    """From now on each child of a fork begins with its own: else it would read what its parent is answered, or wait for
    a thread that it does not have.
    """
    _held.add(held)


def _in_child() -> None:
    for held in list(_held):
        held.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
