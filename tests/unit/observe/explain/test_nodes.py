"""The node of a run."""

from dataclasses import replace

from pointsman_contract.states import TaskState
from pointsman_service.observe.explain.facts import Fetched
from pointsman_service.observe.explain.nodes import runner_of
from pointsman_service.observe.workers import WorkerFigures
from tests.unit.observe.explain.situations import NOW, task

OWNER = "reports@host-1#26be420a"
WORKER = WorkerFigures(
    name="reports@host-1", pool="reports", queues=["reports"], processes=1, busy=0, utilization=0.0,
    heartbeat_age_seconds=60.0, live=False, pid=7, host="host-1", started_at=NOW, owner=OWNER,
)  # fmt: skip


def test_run_is_of_the_life_that_began_it() -> None:
    runs = task(state=TaskState.RUNNING, worker=OWNER)
    assert runner_of(runs, [WORKER]) == Fetched("reports@host-1", live=False)
    assert runner_of(runs, [replace(WORKER, owner="reports@host-1#00000000", live=True)]) is None
    assert runner_of(task(worker=OWNER), [WORKER]) is None
