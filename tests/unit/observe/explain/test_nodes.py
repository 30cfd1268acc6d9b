"""The nodes of a queue, and the node of a run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.broker import Depths
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.explain.facts import Fetched
from pointsman_service.observe.explain.nodes import nodes_of, runner_of
from pointsman_service.observe.workers import WorkerFigures
from tests.unit.observe.explain.situations import NOW, task

OWNER = "reports@host-1#26be420a"
WORKER = WorkerFigures(
    name="reports@host-1", pool="reports", queues=["reports"], processes=1, busy=0, utilization=0.0,
    heartbeat_age_seconds=60.0, live=False, pid=7, host="host-1", started_at=NOW, owner=OWNER,
)  # fmt: skip
WITHOUT_BEATS = BrokerState(Depths(1, 0, {}), "", {})


def test_run_is_of_the_life_that_began_it() -> None:
    runs = task(state=TaskState.RUNNING, worker=OWNER)
    assert runner_of(runs, [WORKER]) == Fetched("reports@host-1", live=False)
    assert runner_of(runs, [replace(WORKER, owner="reports@host-1#00000000", live=True)]) is None
    assert runner_of(task(worker=OWNER), [WORKER]) is None


@pytest.mark.parametrize(("since_seconds", "left"), [(None, True), (90.0, True), (30.0, None)])
def test_node_whose_beat_was_lost_with_redis_is_not_said_to_have_ended_in_order(
    since_seconds: float | None, left: bool | None
) -> None:
    since = None if since_seconds is None else NOW - timedelta(seconds=since_seconds)
    (node,) = nodes_of("reports", [WORKER], WITHOUT_BEATS, NOW, since)
    assert node.left is left
