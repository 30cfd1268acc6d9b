"""Which children run beside the servers."""

import os
import signal
import sys
from dataclasses import dataclass

from contract.queues import PoolSpec, compact_pools
from service.embedded.children import ChildSpec, StopStep
from service.embedded.options import Pools
from service.embedded.ports import HOST
from service.settings import Settings

_WORKER_STOP = (StopStep(signal.SIGTERM, 20), StopStep(signal.SIGQUIT, 3))
"""Celery's warm shutdown finishes what runs; its cold one gives it up."""


@dataclass(frozen=True)
class Plan:
    """The children, without the environment that names the servers."""

    migrate: ChildSpec
    service: ChildSpec
    workers: tuple[ChildSpec, ...] = ()
    demo: ChildSpec | None = None


def make_plan(pools: Pools, port: int, *, demo: bool = False) -> Plan:
    """Pointsman's own children: migrations, the service on ``port``, a Celery node per pool."""
    return Plan(
        migrate=ChildSpec("migrate", _python("service", "migrate")),
        service=ChildSpec("service", _python("service", "all", "--host", HOST, "--port", str(port))),
        workers=tuple(_worker(pool) for pool in _pools(pools)),
        demo=ChildSpec("demo", _python("service.embedded.demo", f"http://{HOST}:{port}")) if demo else None,
    )


def _pools(pools: Pools) -> tuple[PoolSpec, ...]:
    match pools:
        case Pools.FULL:
            return Settings().topology.pools
        case Pools.COMPACT:
            return compact_pools(Settings().topology.queues)
        case Pools.NONE:
            return ()


def _worker(pool: PoolSpec) -> ChildSpec:
    # Gossip and mingle let nodes talk to each other at start and on every event; nothing here needs it.
    command = _python(
        "celery", "-A", "workers", "-q", "worker", "-n", f"{pool.name}@%h", "-Q", ",".join(pool.queues),
        "-c", str(pool.processes), "--prefetch-multiplier", str(pool.prefetch_multiplier), "-P", "prefork",
        "--without-gossip", "--without-mingle", "-l", "WARNING",
    )  # fmt: skip
    return ChildSpec(f"w.{pool.name}", command, environment=_quiet_about_root(), stop_steps=_WORKER_STOP)


def _quiet_about_root() -> dict[str, str]:
    """Celery warns root at length; whoever runs this as root in a container has heard it."""
    if os.geteuid() != 0:
        return {}
    warning = "ignore:You're running the worker with superuser privileges"
    return {"PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), warning]))}


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
