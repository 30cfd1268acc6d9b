"""Which children run beside the servers."""

import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from pointsman_contract.configuration import DEMO_URL
from pointsman_contract.nodes import AS_ROOT, worker_words
from pointsman_contract.queues import PoolSpec, compact_pools
from pointsman_contract.settings_view import read_settings
from pointsman_service.embedded.children import ChildSpec, StopStep
from pointsman_service.embedded.options import TASK_MODULES, Pools
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.settings import Settings

DEMO_TASKS = "pointsman.shipped.demo"
ADMIN_KEY = "admin_key"
"""The file of the first key, in the data directory."""
DEMO_KEY = "demo_key"
_DEMO_MAY = "pointsman-demo=tasks:submit,queues:read,errors:read,errors:act"
_WORKER_STOP = (StopStep(signal.SIGTERM, 20), StopStep(signal.SIGQUIT, 5))
"""Celery's warm shutdown finishes what runs; its cold one gives it up."""


@dataclass(frozen=True)
class Plan:
    """The children, without the environment that names the servers."""

    migrate: ChildSpec
    service: ChildSpec
    keys: tuple[ChildSpec, ...] = ()
    """One after the other, before the service: they make the keys that it asks for."""
    workers: tuple[ChildSpec, ...] = ()
    demo: ChildSpec | None = None


def make_plan(
    pools: Pools, port: int, *, demo: bool = False, task_modules: str = "", keys_dir: Path | None = None
) -> Plan:
    """Pointsman's own children: migrations, the service on ``port``, a Celery node per pool. With ``demo`` the nodes
    have its tasks beside those of ``task_modules``, and one child more submits them. ``keys_dir``: where the files of
    keys are; None: the service asks nobody for one.
    """
    workers = tuple(_worker(pool) for pool in _pools(pools))
    found = Plan(
        migrate=ChildSpec("migrate", _python("pointsman_service", "migrate")),
        service=ChildSpec("service", _python("pointsman_service", "all", "--host", HOST, "--port", str(port))),
        workers=workers,
        keys=() if keys_dir is None else (_keys("first", str(keys_dir / ADMIN_KEY)),),
    )
    if not demo:
        return found
    bank = free_port()
    given = {
        TASK_MODULES: ",".join(name for name in (task_modules, DEMO_TASKS) if name),
        DEMO_URL: f"http://{HOST}:{bank}",
    }
    words: tuple[str, ...] = ("--bank-port", str(bank), "--tasks", given[TASK_MODULES], f"http://{HOST}:{port}")
    if keys_dir is not None:
        file = keys_dir / DEMO_KEY
        found = replace(found, keys=(*found.keys, _keys("provide", f"{_DEMO_MAY}@{file}")))
        words = ("--key-file", str(file), *words)
    return replace(
        found,
        workers=tuple(replace(worker, environment=given) for worker in workers),
        demo=ChildSpec("demo", _python("pointsman_service.embedded.demo", *words)),
    )


def _pools(pools: Pools) -> tuple[PoolSpec, ...]:
    match pools:
        case Pools.FULL:
            return read_settings(Settings).topology.pools
        case Pools.COMPACT:
            return compact_pools(read_settings(Settings).topology.queues)
        case Pools.NONE:
            return ()


def _worker(pool: PoolSpec) -> ChildSpec:
    words = (sys.executable, *worker_words(pool))
    return ChildSpec(f"w.{pool.name}", words, stop_steps=_WORKER_STOP, on_console=_is_news)


def _is_news(line: str) -> bool:
    # ``up`` has said it once for all.
    return AS_ROOT not in line


def _keys(*words: str) -> ChildSpec:
    return ChildSpec("keys", _python("pointsman_service", "keys", *words))


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
