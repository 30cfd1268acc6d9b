"""What the endpoints of one API process work with, made once."""

from functools import partial

from pointsman_service.access.bearer import BearerTokens
from pointsman_service.access.code_flow import CodeFlow
from pointsman_service.access.issuer import Issuer
from pointsman_service.access.reading import KeyReader
from pointsman_service.access.refusals import Refusals
from pointsman_service.access.ring import KeyRing
from pointsman_service.access.roles import Roles
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.alert.reading import AlertReader
from pointsman_service.api.bodies.room import Pace, Places, Room, Turns
from pointsman_service.api.parts import Parts
from pointsman_service.app.exposition import make_keeper
from pointsman_service.breaker.registry import Registry
from pointsman_service.broker import Broker
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.run_logs import LineStream
from pointsman_service.live.transitions import TransitionStream
from pointsman_service.now.watch import NowWatch
from pointsman_service.observe.audit import AuditReader
from pointsman_service.observe.backlog import read as read_backlog
from pointsman_service.observe.backlog import waiting_of as read_waiting
from pointsman_service.observe.exposed import ExposedWatch
from pointsman_service.observe.tasks.waiting import ahead_of_new
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
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.leadership import Presence
from pointsman_service.store.store import Store
from pointsman_service.submit.admission import Admission
from pointsman_service.submit.group_commit import GroupCommit
from pointsman_service.submit.in_turn import InTurn
from pointsman_service.submit.quotas import Quotas
from pointsman_service.submit.rates import Rates
from pointsman_service.submit.submitter import Submitter
from pointsman_service.tracing import Tracing

_ROOM_BATCHES = 4
"""Batches of the largest size that one process holds at once."""


def make_parts(
    settings: Settings,
    store: Store,
    catalogue: Catalogue,
    broker: Broker,
    server: RedisServer,
    commits: GroupCommit,
    liveness: Liveness | None = None,
    tracing: Tracing | None = None,
    keys: KeyRing | None = None,
    rates: Rates | None = None,
    refusals: Refusals | None = None,
) -> Parts:
    """``server`` is for requests alone: a reader that blocks needs another connection. ``liveness``: what this process
    sees of the workers.
    """
    if rates is None:
        rates = Rates(server, settings.default_rate)
    presence = Presence(store)
    if keys is None:
        keys = KeyRing(presence)
    if refusals is None:
        refusals = Refusals(presence)
    views = Views.over(settings, store, broker, server, liveness)
    queues = settings.topology.queues
    names = [queue.name for queue in queues]
    in_turn = InTurn(partial(ahead_of_new, store, settings.caller_weights))
    admission = Admission(partial(read_backlog, store, names), views.predictions, queues, in_turn)
    quotas = Quotas(partial(read_waiting, store, names), settings.caller_quota)
    withdrawer = Withdrawer(store, server, settings)
    breakers = Registry(store, settings)
    listeners = Listeners(settings.listeners_most, settings.caller_listeners_most)
    issuer = Issuer.of(settings)
    return Parts(
        settings=settings,
        store=store,
        catalogue=catalogue,
        broker=broker,
        server=server,
        submitter=Submitter(store, catalogue, commits, settings, admission, rates, quotas),
        rates=rates,
        quotas=quotas,
        admission=admission,
        canceller=Canceller(store, server),
        changer=Changer(store, settings),
        many=ManyActor(store, withdrawer, catalogue, settings),
        retrier=Retrier(store, catalogue, settings),
        replayer=Replayer(store, withdrawer, catalogue, settings),
        pauser=Pauser(store, broker, settings),
        purger=Purger(store, withdrawer, settings),
        discarder=Discarder(store, server),
        breakers=breakers,
        ejector=Ejector(store, breakers, settings),
        alert_hand=AlertHand(store),
        alert_reader=AlertReader(store),
        error_hand=ErrorHand(store),
        keys=keys,
        refusals=refusals,
        issuer=issuer,
        tokens=BearerTokens(issuer, Roles(settings), settings)
        if issuer is not None and settings.oidc_audience
        else None,
        code_flow=CodeFlow(issuer, Roles(settings), settings)
        if issuer is not None and settings.oidc_client_id
        else None,
        acts_done=AuditReader(store),
        key_hand=KeyHand(store),
        key_reader=KeyReader(store),
        sessions=SessionHand(store, settings.session_seconds),
        sharer=Sharer(store, keys, settings.link_seconds),
        breaker_hand=BreakerHand(breakers, store, server, settings),
        listeners=listeners,
        transitions=TransitionStream(store, listeners),
        lines=LineStream(store, listeners),
        changes=ChangeStream(store, listeners),
        views=views,
        now=NowWatch(store, server, views, settings),
        exposed=ExposedWatch(store, make_keeper(settings, store, catalogue, views).single_pass),
        pages=Places(settings.database_connections // 3, settings.database_timeout_seconds),
        room=Room(_ROOM_BATCHES * settings.batch_bytes),
        turns=Turns(settings.batch_bytes),
        pace=Pace(),
        tracing=tracing,
        sealer=settings.sealer,
    )
