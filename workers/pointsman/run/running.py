"""Which run the code of a task belongs to, whatever thread it is in.

The run is in a context variable. Async code carries it on, and so does ``asyncio.to_thread``; a thread of another kind
carries it when it is started with ``contextvars.copy_context().run``. Elsewhere in a worker nobody can say whose code
it is: there asking is an error, because an answer would be a wrong one.
"""

import os
import threading
from contextvars import ContextVar, Token
from typing import Any

from pointsman.errors import RunNotCarried
from pointsman.node.node import is_worker
from pointsman.run.sides import AttemptOfTask


class Carried:
    """A run as its context knows it: a managed one, or the request of a plain Celery run."""

    __slots__ = ("has_ended", "managed", "pid", "request")

    def __init__(self, managed: AttemptOfTask | None, request: Any) -> None:
        self.managed = managed
        self.request = request
        self.pid = os.getpid()
        self.has_ended = False


_carried: ContextVar[Carried | None] = ContextVar("pointsman_run", default=None)
_managed: set[Carried] = set()
"""Those that run in this process now."""


def carry(managed: AttemptOfTask | None, request: Any) -> tuple[Carried, Token[Carried | None]]:
    """From here on this context belongs to that run. To be given to ``put_down``."""
    carried = Carried(managed, request)
    if managed is not None:
        _managed.add(carried)
    return carried, _carried.set(carried)


def put_down(carrying: tuple[Carried, Token[Carried | None]]) -> None:
    """The run has ended: what still carries it is told so."""
    carried, token = carrying
    carried.has_ended = True
    _managed.discard(carried)
    _carried.reset(token)


def carried_run() -> Carried | None:
    """The run this context belongs to, while it lasts."""
    carried = _carried.get()
    return None if carried is None or carried.has_ended else carried


def managed_here() -> AttemptOfTask | None:
    """The managed run whose code this is; None also where nobody can say, and in a process that a body forked."""
    carried = _carried.get()
    if carried is None or carried.managed is None or carried.has_ended or carried.pid != os.getpid():
        return None
    return carried.managed


def current_run(asked: str) -> Carried | None:
    """The run this context belongs to; None outside of a worker and of any run.

    Raises ``RunNotCarried``, naming what was ``asked``, in a thread of a worker that carries no run, or one that has
    ended, and in a process that a body forked.
    """
    carried = _carried.get()
    if carried is None:
        if _managed or (is_worker() and threading.current_thread() is not threading.main_thread()):
            raise RunNotCarried(
                f"{asked} in a thread that does not know its run: start it with contextvars.copy_context().run, or use "
                "asyncio.to_thread"
            )
        return None
    if carried.has_ended:
        raise RunNotCarried(f"{asked} after the end of the run that started this thread")
    if carried.pid != os.getpid():
        raise RunNotCarried(f"{asked} in a process of its own: only the process of the worker knows the run")
    return carried


def find_by_id(task_id: str) -> AttemptOfTask | None:
    """The managed run of that id in this process: a thread that knows the id needs no context."""
    return next((one.managed for one in list(_managed) if one.managed is not None and one.managed.id == task_id), None)


def find_managed(asked: str) -> AttemptOfTask | None:
    """``current_run`` for what Celery answers too: raises only where the answer would be about a managed run."""
    if _carried.get() is None and not _managed:
        return None
    carried = current_run(asked)
    return None if carried is None else carried.managed
