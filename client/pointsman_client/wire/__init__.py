"""What carries calls: the one room that knows httpx2, or httpx where that is all there is.

Every call ends within the seconds it is given, whatever the server does, with its connection, its writing and all of
its reading; only looking up a host takes a blocking caller what the system gives it. Redirections are not followed, and
proxies of the environment are not asked: the key goes to the host of the place and to no other. Loads nothing until it
is asked: one look over plain HTTP needs no more than the standard library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman_client.wire.blocking import Lines as Lines
    from pointsman_client.wire.blocking import Wire as Wire
    from pointsman_client.wire.clock import Clock as Clock
    from pointsman_client.wire.forks import anew_in_children as anew_in_children
    from pointsman_client.wire.holds import AsyncHold as AsyncHold
    from pointsman_client.wire.holds import Hold as Hold
    from pointsman_client.wire.holds import LetGo as LetGo
    from pointsman_client.wire.loops import AsyncLoop as AsyncLoop
    from pointsman_client.wire.loops import Loop as Loop
    from pointsman_client.wire.waiting import AsyncLines as AsyncLines
    from pointsman_client.wire.waiting import AsyncWire as AsyncWire

_FROM = {
    "Lines": "blocking",
    "Wire": "blocking",
    "Clock": "clock",
    "anew_in_children": "forks",
    "AsyncHold": "holds",
    "Hold": "holds",
    "LetGo": "holds",
    "AsyncLoop": "loops",
    "Loop": "loops",
    "AsyncLines": "waiting",
    "AsyncWire": "waiting",
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
