"""The loops of a reconciler that leads."""

from collections.abc import Callable, Mapping

from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.sweep import AlertSweep
from pointsman_service.breaker.registry import Registry
from pointsman_service.broker import Broker
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.reconcile.beats import BeatWatch
from pointsman_service.reconcile.breakers import BreakerSweep
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.dead_letters import DeadLettersSweep
from pointsman_service.reconcile.dead_workers import DeadWorkersSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.epochs import EpochSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.forecasts import ForecastSweep
from pointsman_service.reconcile.forgotten_keys import ForgottenKeysSweep
from pointsman_service.reconcile.held import HeldSweep
from pointsman_service.reconcile.held_by_breakers import HoldingSweep
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.old_claims import OldClaimsSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.reconcile.outliers import OutlierSweep
from pointsman_service.reconcile.partitions import PartitionSweep
from pointsman_service.reconcile.quarantine import QuarantineSweep
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.reconcile.task_acts import TaskActsSweep
from pointsman_service.reconcile.unacked import UnackedSweep
from pointsman_service.reconcile.unclaimed import UnclaimedSweep
from pointsman_service.reconcile.vanished import VanishedSweep
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store


def make_sweeps(
    store: Store,
    settings: Settings,
    broker: Broker,
    server: RedisServer,
    liveness: Liveness,
    own: Mapping[str, RedisServer],
) -> list[Loop]:
    """All that one reconciler does at a time, knowing nothing of before but what ``liveness`` has seen.

    ``own`` are connections of sweeps that must not wait for others: ``epoch``, ``outliers``, ``holding``.
    """
    registry = Registry(store, settings)
    return [
        EpochSweep(store, own["epoch"], settings).loop,
        BeatWatch(store, server, settings).loop,
        DeadWorkersSweep(store, server, liveness, settings).loop,
        VanishedSweep(store, broker, server, liveness, settings).loop,
        QuarantineSweep(store, liveness).loop,
        LostSweep(store, broker, server, liveness, settings).loop,
        UnclaimedSweep(store, server, liveness, settings).loop,
        UnackedSweep(store, broker).loop,
        OldClaimsSweep(store, server).loop,
        DueSweep(store, settings).loop,
        OutboxSweep(store, settings).loop,
        ExpiredSweep(store, server, settings).loop,
        CancelledSweep(store, server, settings).loop,
        TaskActsSweep(store, settings).loop,
        DeadLettersSweep(store, settings).loop,
        HeldSweep(store, settings).loop,
        BreakerSweep(registry).loop,
        OutlierSweep(store, own["outliers"], registry, settings).loop,
        HoldingSweep(store, own["holding"], settings).loop,
        ForecastSweep(store, broker, server, liveness, settings).loop,
        ForgottenKeysSweep(store, settings).loop,
        PartitionSweep(store).loop,
        RetentionSweep(store, settings).loop,
    ]


def make_alert_sweep(
    store: Store, settings: Settings, broker: Broker, server: RedisServer, known_since: Callable[[], float | None]
) -> Loop:
    """Looks for alerts, in a reconciler or in whoever stands in for it."""
    return AlertSweep(store, Lookout(store, broker, server, settings, known_since), settings).loop
