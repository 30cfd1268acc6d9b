"""What the endpoints work with. The app makes it once and keeps it in ``app.state.parts``."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.api.room import Pace, Places, Room, Turns
from pointsman_service.breaker.registry import Registry
from pointsman_service.broker import Broker
from pointsman_service.callers import Caller
from pointsman_service.live.transitions import TransitionStream
from pointsman_service.observe.views import Views
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.discard import Discarder
from pointsman_service.operate.eject import Ejector
from pointsman_service.operate.force_breaker import BreakerHand
from pointsman_service.operate.handle_alerts import AlertHand
from pointsman_service.operate.pause import Pauser
from pointsman_service.operate.purge import Purger
from pointsman_service.operate.replay import Replayer
from pointsman_service.operate.retry import Retrier
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.submit.submitter import Submitter

_ROOM_BATCHES = 4
"""Batches of the largest size that one process holds at once."""


@dataclass(kw_only=True)
class Parts:
    """The parts of one API process. ``server`` is for requests alone: a reader that blocks needs another connection."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    broker: Broker
    server: RedisServer
    submitter: Submitter
    canceller: Canceller = field(init=False)
    retrier: Retrier = field(init=False)
    replayer: Replayer = field(init=False)
    pauser: Pauser = field(init=False)
    purger: Purger = field(init=False)
    discarder: Discarder = field(init=False)
    breakers: Registry = field(init=False)
    ejector: Ejector = field(init=False)
    alert_hand: AlertHand = field(init=False)
    breaker_hand: BreakerHand = field(init=False)
    transitions: TransitionStream = field(init=False)
    views: Views = field(init=False)
    pages: Places = field(init=False)
    """For lists of tasks: half of the connections stay for others."""
    room: Room = field(init=False)
    """For bodies that come in parts, and batches that wait for their turn."""
    turns: Turns = field(init=False)
    """Of batches: what they become takes many times their length."""
    pace: Pace = field(init=False)
    """Of batches longer than a single submission may be."""

    def __post_init__(self) -> None:
        self.pages = Places(self.settings.database_connections // 2, self.settings.database_timeout_seconds)
        self.room = Room(_ROOM_BATCHES * self.settings.batch_bytes)
        self.turns = Turns(self.settings.batch_bytes)
        self.pace = Pace()
        self.canceller = Canceller(self.store, self.server)
        self.retrier = Retrier(self.store, self.catalogue, self.settings)
        withdrawer = Withdrawer(self.store, self.server, self.settings)
        self.replayer = Replayer(self.store, withdrawer, self.catalogue, self.settings)
        self.pauser = Pauser(self.store, self.broker, self.settings)
        self.purger = Purger(self.store, withdrawer, self.settings)
        self.discarder = Discarder(self.store, self.server)
        self.breakers = Registry(self.store, self.settings)
        self.ejector = Ejector(self.store, self.breakers, self.settings)
        self.breaker_hand = BreakerHand(self.breakers, self.store, self.server, self.settings)
        self.alert_hand = AlertHand(self.store)
        self.transitions = TransitionStream(self.store, self.settings.listeners_most)
        self.views = Views.over(self.settings, self.store, self.broker, self.server)


def parts_of(request: Request) -> Parts:
    """The parts of the app that answers this request."""
    return cast(Parts, request.app.state.parts)


GivenParts = Annotated[Parts, Depends(parts_of)]
"""A parameter of an endpoint."""


def caller_of(request: Request) -> Caller:
    """Who asks, as the door found."""
    return cast(Caller, request.scope["caller"])


GivenCaller = Annotated[Caller, Depends(caller_of)]
"""A parameter of an endpoint that acts."""
