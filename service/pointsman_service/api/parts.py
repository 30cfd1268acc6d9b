"""What the endpoints work with. ``pointsman_service.app`` makes it once and keeps it in ``app.state.parts``."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from pointsman_contract.sealing import Sealer
from pointsman_service.access.bearer import BearerTokens
from pointsman_service.access.code_flow import CodeFlow
from pointsman_service.access.issuer import Issuer
from pointsman_service.access.reading import KeyReader
from pointsman_service.access.refusals import Refusals
from pointsman_service.access.ring import KeyRing
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.alert.reading import AlertReader
from pointsman_service.api.bodies.room import Pace, Places, Room, Turns
from pointsman_service.breaker.registry import Registry
from pointsman_service.broker import Broker
from pointsman_service.callers import Caller
from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.run_logs import LineStream
from pointsman_service.live.transitions import TransitionStream
from pointsman_service.now.watch import NowWatch
from pointsman_service.observe.audit import AuditReader
from pointsman_service.observe.exposed import ExposedWatch
from pointsman_service.observe.views import Views
from pointsman_service.operate.act_on_many import ManyActor
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.change import Changer
from pointsman_service.operate.discard import Discarder
from pointsman_service.operate.eject import Ejector
from pointsman_service.operate.force_breaker import BreakerHand
from pointsman_service.operate.handle_alerts import AlertHand
from pointsman_service.operate.handle_keys import KeyHand
from pointsman_service.operate.judge_errors import ErrorHand
from pointsman_service.operate.pause import Pauser
from pointsman_service.operate.purge import Purger
from pointsman_service.operate.replay import Replayer
from pointsman_service.operate.retry import Retrier
from pointsman_service.operate.share import Sharer
from pointsman_service.operate.sign_in import SessionHand
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.submit.admission import Admission
from pointsman_service.submit.quotas import Quotas
from pointsman_service.submit.rates import Rates
from pointsman_service.submit.submitter import Submitter
from pointsman_service.tracing import Tracing


@dataclass(kw_only=True)
class Parts:
    """The parts of one API process. ``server`` is for requests alone: a reader that blocks needs another connection."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    broker: Broker
    server: RedisServer
    submitter: Submitter
    admission: Admission
    """Its loop must run."""
    rates: Rates
    """Its loop must run."""
    quotas: Quotas
    """Its loop must run."""
    canceller: Canceller
    changer: Changer
    many: ManyActor
    retrier: Retrier
    replayer: Replayer
    pauser: Pauser
    purger: Purger
    discarder: Discarder
    breakers: Registry
    ejector: Ejector
    alert_hand: AlertHand
    alert_reader: AlertReader
    error_hand: ErrorHand
    keys: KeyRing
    refusals: Refusals
    """Its loop must run."""
    issuer: Issuer | None
    """Its loop must run. None: only keys are known."""
    tokens: BearerTokens | None
    code_flow: CodeFlow | None
    """None: nobody signs in to the dashboard through the issuer."""
    acts_done: AuditReader
    key_hand: KeyHand
    key_reader: KeyReader
    sessions: SessionHand
    sharer: Sharer
    breaker_hand: BreakerHand
    listeners: Listeners
    """To all streams of this process."""
    transitions: TransitionStream
    changes: ChangeStream
    """Its loop must run, or nobody is told of anything."""
    lines: LineStream
    views: Views
    now: NowWatch
    exposed: ExposedWatch
    pages: Places
    """For lists of tasks: half of the connections stay for others."""
    room: Room
    """For bodies that come in parts, and batches that wait for their turn."""
    turns: Turns
    """Of batches: what they become takes many times their length."""
    pace: Pace
    """Of batches longer than a single submission may be."""
    tracing: Tracing | None = None
    """None: no spans are made."""
    sealer: Sealer | None = None
    """Opens payloads that are sealed; None: none are."""


def parts_of(request: Request) -> Parts:
    """The parts of the app that answers this request."""
    return cast(Parts, request.app.state.parts)


GivenParts = Annotated[Parts, Depends(parts_of)]
"""A parameter of an endpoint."""


def close_streams(parts: Parts) -> None:
    """End every stream to a listener, and let go who waits for a task: the process is about to stop."""
    parts.listeners.close()
    parts.changes.close()


def caller_of(request: Request) -> Caller:
    """Who asks, as the door found."""
    return cast(Caller, request.scope["caller"])


GivenCaller = Annotated[Caller, Depends(caller_of)]
"""A parameter of an endpoint that acts."""
