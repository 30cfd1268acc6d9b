"""How each worker is, in a word, and what it runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_contract.queues import PoolSpec
from pointsman_service.dashboard.workers.nodes import nodes_of, pools_of
from pointsman_service.observe.tasks.task import Task, task_of
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.store.columns import BLANK

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


def worker(name: str, **more: Any) -> WorkerFigures:
    known: dict[str, Any] = {
        "name": name, "pool": name.partition("@")[0], "queues": ["email"], "processes": 2, "busy": 0,
        "utilization": 0.0,
        "heartbeat_age_seconds": 1.0, "live": True, "pid": 1, "host": "h", "started_at": NOW, "owner": f"{name}#1",
    }  # fmt: skip
    return WorkerFigures(**(known | more))


def task(owner: str, seconds: float) -> Task:
    times = {"submitted_at": NOW, "due_at": NOW, "started_at": NOW - timedelta(seconds=seconds)}
    return task_of(
        BLANK
        | times
        | {"state": "running", "task_type": "mail", "queue": "email", "worker": owner, "sla_seconds": 2.0},
        NOW,
    )


@pytest.mark.parametrize(
    ("figures", "state"),
    [
        ({}, "idle"), ({"busy": 1}, "busy"), ({"busy": None}, "live"), ({"live": None}, "unknown"),
        ({"ejected": True, "busy": 1}, "ejected"), ({"on_probation": True}, "on_probation"),
        ({"live": False, "ejected": True, "busy": None}, "silent"),
        ({"live": False, "left": True, "busy": None}, "gone"), ({"left": True, "busy": 1}, "stopping"),
    ],
)  # fmt: skip
def test_a_worker_is_in_one_word(figures: dict[str, Any], state: str) -> None:
    (node,) = nodes_of([worker("email@h", **figures)], [], {}, NOW)
    assert node.state == state


def test_what_somebody_should_look_at_comes_first_and_says_since_when() -> None:
    workers = [worker("a@h"), worker("b@h", live=False, heartbeat_age_seconds=90.4), worker("c@h", ejected=True)]
    nodes = nodes_of(workers, [], {}, NOW)
    assert [node.worker.name for node in nodes] == ["b@h", "c@h", "a@h"]
    assert nodes[0].silent_since == NOW - timedelta(seconds=91)


def test_a_worker_has_its_own_runs_the_longest_first_beside_what_is_usual() -> None:
    running = [task("a@h#1", 3.0), task("a@h#1", 100.0), task("b@h#1", 1.0), task("a@h#0", 7.0)]
    nodes = {node.worker.name: node for node in nodes_of([worker("a@h"), worker("b@h")], running, {"mail": 5.0}, NOW)}
    assert [(run.seconds, run.usual_p95_seconds, run.is_long) for run in nodes["a@h"].runs] == [
        (100.0, 5.0, True),
        (3.0, 5.0, False),
    ]
    assert [run.seconds for run in nodes["b@h"].runs] == [1.0]


def test_no_pool_lacks_workers_while_nobody_knows_who_lives() -> None:
    workers = [worker("email@1", live=None, busy=None), worker("email@2", live=False, busy=None)]
    specs = [PoolSpec(name=name, queues=(name,), processes=1) for name in ("email", "reports")]
    pools = pools_of(specs, nodes_of(workers, [], {}, NOW))
    assert [(pool.name, pool.is_known) for pool in pools] == [("email", False), ("reports", False)]
    known = pools_of(specs, nodes_of([worker("email@1")], [], {}, NOW))
    assert [pool.is_known for pool in known] == [True, True]


def test_a_pool_counts_its_live_workers_and_one_without_any_is_there_too() -> None:
    workers = [worker("email@1", busy=2), worker("email@2", busy=1), worker("email@3", live=False, busy=None)]
    workers.append(worker("other@1", busy=None))
    specs = [PoolSpec(name=name, queues=(name,), processes=1) for name in ("email", "reports")]
    email, reports, other = pools_of(specs, nodes_of(workers, [], {}, NOW))
    assert (email.live, email.silent, email.busy, email.processes, email.utilization) == (2, 1, 3, 4, 0.75)
    assert (reports.live, reports.busy, reports.utilization, reports.leaves) == (0, 0, None, ["reports"])
    assert email.leaves == []
    assert reports.lacks == [], "nothing waits there"
    assert [pool.lacks for pool in pools_of(specs, nodes_of(workers, [], {}, NOW), {"email", "reports"})] == [
        [], ["reports"], []
    ]  # fmt: skip
    assert (other.name, other.queues, other.busy, other.utilization) == ("other", ("email",), None, None)
