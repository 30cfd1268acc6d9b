"""Pointsman from outside, over HTTP alone. Loads nothing until it is asked."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pointsman_client.release import RELEASE as RELEASE

if TYPE_CHECKING:
    from pointsman_client.aio.client import AsyncClient as AsyncClient
    from pointsman_client.answer import Answer as Answer
    from pointsman_client.calling.events import Event as Event
    from pointsman_client.errors import CallNotAllowed as CallNotAllowed
    from pointsman_client.errors import ClientClosed as ClientClosed
    from pointsman_client.errors import ClientError as ClientError
    from pointsman_client.errors import DeadlineOver as DeadlineOver
    from pointsman_client.errors import NeverSent as NeverSent
    from pointsman_client.errors import NoResult as NoResult
    from pointsman_client.errors import NoSuchPlace as NoSuchPlace
    from pointsman_client.errors import NotSigned as NotSigned
    from pointsman_client.errors import NotTold as NotTold
    from pointsman_client.errors import OtherLoop as OtherLoop
    from pointsman_client.errors import Refused as Refused
    from pointsman_client.errors import TaskCancelled as TaskCancelled
    from pointsman_client.errors import TaskExpired as TaskExpired
    from pointsman_client.errors import TaskFailed as TaskFailed
    from pointsman_client.errors import TaskStillRunning as TaskStillRunning
    from pointsman_client.errors import Unreachable as Unreachable
    from pointsman_client.sync.client import Client as Client
    from pointsman_client.sync.handle import Handle as Handle
    from pointsman_client.sync.tasks import Submitted as Submitted
    from pointsman_client.webhooks import verify_webhook as verify_webhook

_FROM = {
    "AsyncClient": "aio.client",
    "Client": "sync.client",
    "Answer": "answer",
    "Event": "calling.events",
    "ClientClosed": "errors",
    "ClientError": "errors",
    "DeadlineOver": "errors",
    "NeverSent": "errors",
    "NoSuchPlace": "errors",
    "Refused": "errors",
    "Unreachable": "errors",
    "Submitted": "sync.tasks",
    "Handle": "sync.handle",
    "TaskStillRunning": "errors",
    "NoResult": "errors",
    "TaskFailed": "errors",
    "TaskCancelled": "errors",
    "TaskExpired": "errors",
    "CallNotAllowed": "errors",
    "NotSigned": "errors",
    "NotTold": "errors",
    "OtherLoop": "errors",
    "verify_webhook": "webhooks",
}
"""Where each name is, so that ``import pointsman_client`` costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_FROM]
