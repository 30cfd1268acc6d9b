from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from pointsman_contract.events import Beat
from pointsman_contract.queues import DEFAULT_TOPOLOGY, QueueSpec
from pointsman_service.broker import Depths
from pointsman_service.fleet.liveness import Liveness, Verdict
from pointsman_service.observe import sla
from pointsman_service.observe.backlog import backlogs
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.durations import Durations, durations
from pointsman_service.observe.queues import MOST_REASONS, queue_figures
from pointsman_service.observe.task_metrics import figures, total
from pointsman_service.observe.workers import consumers, worker_figures
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.summing import Sums

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UP = BrokerState(Depths(1, 0, {}), "", {"a": 3})
AWAY = BrokerState(None, "no connection", {})


def sums(
    queue: str | None = None, covered: float = 0.0, runs: Mapping[float, int] | None = None, **counts: float
) -> Sums:
    run = {bucket_of(seconds): count for seconds, count in (runs or {}).items()}
    return Sums(None, queue, dict.fromkeys(COUNTERS, 0.0) | counts, run, {}, covered)


def worker(owner: str, **changes: Any) -> dict[str, Any]:
    found = {
        "owner": owner,
        "name": f"{owner}@h",
        "pool": "critical",
        "queues": ["critical"],
        "processes": 2,
        "pid": 1,
        "host": "h",
        "started_at": NOON,
        "heartbeat_age_seconds": 1.0,
    }
    return found | changes


def test_durations_of_nothing_are_null() -> None:
    assert durations({}, 0.0) == Durations(None, None, None, None)


def test_average_is_exact_and_percentiles_within_five_percent() -> None:
    found = durations({bucket_of(1.0): 98, bucket_of(10.0): 2}, 118.0)

    assert found.avg == 1.18
    assert found.p50 == pytest.approx(1.0, rel=0.05)
    assert found.p99 == pytest.approx(10.0, rel=0.05)


def test_attainment_is_null_when_nothing_started() -> None:
    assert sla.attainment(0, 0) is None
    assert sla.attainment(3, 1) == 0.75


def test_target_counts_from_due() -> None:
    assert sla.met(NOON, None, NOON + timedelta(seconds=2), 2.0) is None
    assert sla.met(NOON, None, NOON + timedelta(seconds=2.001), 2.0) is False
    assert sla.met(NOON, NOON + timedelta(seconds=2), NOON, 2.0) is True


def test_rates_count_tasks_and_not_attempts() -> None:
    found = figures(sums(succeeded=3.0, failed=1.0, executions=9.0, retried=5.0))

    assert (found.success_rate, found.failure_rate) == (0.75, 0.25)
    assert (found.execution_count, found.retry_count) == (9, 5)


def test_total_adds_counters_and_histograms() -> None:
    found = total([sums(runs={1.0: 2}, succeeded=2.0), sums(runs={1.0: 1, 5.0: 4}, succeeded=5.0)])

    assert found.counts["succeeded"] == 7
    assert found.run == {bucket_of(1.0): 3, bucket_of(5.0): 4}


def test_backlog_counts_due_tasks_only_and_keeps_unknown_queues() -> None:
    rows = [
        {"queue": "old", "state": "queued", "tasks": 4, "sent": False, "oldest_seconds": 9.0},
        {"queue": "old", "state": "queued", "tasks": 1, "sent": True, "oldest_seconds": 2.0},
        {"queue": "old", "state": "scheduled", "tasks": 7, "sent": False, "oldest_seconds": None},
    ]
    found = backlogs(rows, ["critical"])

    assert (found["old"].depth, found["old"].waiting, found["old"].oldest_wait_seconds) == (5, 4, 9.0)
    assert found["old"].on_broker == 1
    assert found["old"].by_state == {"queued": 5, "scheduled": 7}
    assert (found["critical"].depth, found["critical"].oldest_wait_seconds) == (0, None)


def test_held_tasks_are_counted_by_state_and_by_reason_and_not_in_the_depth() -> None:
    reasons = {"quarantine": 1, "unknown_task_type": 41} | {f"breaker:dependency:h{n:02}": 2 for n in range(30)}
    rows = [
        {
            "queue": "email",
            "state": "held",
            "held_reason": reason,
            "tasks": tasks,
            "sent": False,
            "oldest_seconds": None,
        }
        for reason, tasks in reasons.items()
    ]
    backlog = backlogs(rows, ["email"])
    assert backlog["email"].by_state == {"held": 102}
    (email,) = queue_figures([QueueSpec(name="email", priority=7, sla_seconds=5)], backlog, [], [])
    assert email.depth == 0
    assert email.states == {"scheduled": 0, "queued": 0, "held": 102, "running": 0, "retrying": 0}
    assert (email.held_by[0].reason, email.held_by[0].tasks) == ("unknown_task_type", 41)
    assert (len(email.held_by), email.held_by[-1].reason) == (MOST_REASONS + 1, None)
    assert sum(held.tasks for held in email.held_by) == 102


def test_rates_are_per_second_of_what_the_window_covers() -> None:
    figures = queue_figures(
        DEFAULT_TOPOLOGY.queues,
        {},
        [sums("critical", covered=330.0, submitted=660.0, executions=400.0, native=70.0)],
        [],
    )

    assert figures[0].name == "critical"
    assert (figures[0].arrival_rate, figures[0].service_rate) == (2.0, 1.0)
    assert figures[1].arrival_rate == 0


def test_busy_is_unknown_without_broker_beat_or_life() -> None:
    rows = [worker("a"), worker("no-beat"), worker("a", name="dead@h", heartbeat_age_seconds=10.0)]

    assert [found.busy for found in worker_figures(rows, UP, 10.0)] == [3, None, None]
    assert [found.busy for found in worker_figures(rows, AWAY, 10.0)] == [None, None, None]


def test_worker_that_a_rolling_restart_replaced_is_left_out() -> None:
    replaced = worker("old", name="critical@h", heartbeat_age_seconds=60.0)
    successor = worker("new", name="critical-2@h")

    assert [found.name for found in worker_figures([replaced, successor], UP, 10.0)] == ["critical-2@h"]


@pytest.mark.parametrize(
    ("changes", "broker"),
    [
        ({"owner": "a"}, UP),  # its beat is still there: it died
        ({"host": "elsewhere"}, UP),
        ({"pool": "email"}, UP),
        ({}, AWAY),
    ],
)
def test_dead_worker_is_shown_beside_a_living_one(changes: dict[str, Any], broker: BrokerState) -> None:
    dead = worker("old", name="critical@h", heartbeat_age_seconds=60.0) | changes
    other = worker("new", name="critical-2@h")

    assert [found.live for found in worker_figures([dead, other], broker, 10.0)] == [False, True]


def beating(*owners: str, stopping: bool = False) -> BrokerState:
    """A broker with the beats of these."""
    beats = {owner: cast(Beat, {"name": f"{owner}@h", "running": [], "stopping": stopping}) for owner in owners}
    return BrokerState(Depths(1, 0, {}), "", dict.fromkeys(owners, 0), beats=beats)


@pytest.mark.parametrize(
    ("broker", "seconds", "left", "live", "processes"),
    [
        (beating("a"), 60.0, False, True, 2),
        (beating("a", stopping=True), 60.0, True, True, 0),
        (beating(), 60.0, True, False, 0),
        # Redis was replaced after it was seen last: its beat may have been lost with that.
        (beating(), 0.5, None, True, 2),
        (beating(), None, None, True, 2),
        (BrokerState(Depths(None, 0, {}), "", {}), 60.0, None, True, 2),
        (AWAY, 60.0, None, True, 2),
        (replace(beating(), unreadable=frozenset({"a"})), 60.0, None, True, 2),
    ],
)
def test_worker_that_ended_in_order_takes_nothing_at_once(
    broker: BrokerState, seconds: float | None, left: bool | None, live: bool, processes: int
) -> None:
    (found,) = worker_figures([worker("a", heartbeat_age_seconds=1.0)], broker, 10.0, beats_seconds=seconds)

    assert (found.left, found.live, found.fetching) == (left, live, None if found.busy is None else not left)
    assert consumers([found], "critical") == processes


def test_utilization_never_exceeds_one() -> None:
    (found,) = worker_figures([worker("a", processes=2)], UP, 10.0)

    assert (found.busy, found.utilization) == (3, 1.0)


class Seen(Liveness):
    """A judge of workers that has made up its mind."""

    def __init__(self, **verdicts: Verdict) -> None:
        self._verdicts = verdicts

    def verdict(self, owner: str) -> Verdict:
        return self._verdicts.get(owner, Verdict.UNSURE)

    def silent_seconds(self, owner: str) -> float | None:
        return 1.5 if owner in self._verdicts else None


@pytest.mark.parametrize(
    ("fed", "broker", "verdict", "live"),
    [
        (True, UP, Verdict.UNSURE, False),
        (True, UP, Verdict.LIVES, True),
        (False, UP, Verdict.LIVES, True),
        (False, UP, Verdict.DEAD, False),
        (False, UP, Verdict.UNSURE, None),
        (True, AWAY, Verdict.UNSURE, None),
        (True, AWAY, Verdict.LIVES, None),
        (True, AWAY, Verdict.DEAD, False),
    ],
)
def test_silent_worker_is_dead_only_when_somebody_watched(
    fed: bool, broker: BrokerState, verdict: Verdict, live: bool | None
) -> None:
    rows = [worker("a", heartbeat_age_seconds=60.0), worker("b", heartbeat_age_seconds=61.0)]

    found = worker_figures(rows, broker, 10.0, None, Seen(a=verdict), are_fed=fed)

    (one,) = [one for one in found if one.name == "a@h"]
    assert one.live is live
    assert one.heartbeat_age_seconds == (1.5 if live else 60.0)


def test_worker_that_was_silent_before_nobody_watched_is_dead() -> None:
    rows = [worker("a", heartbeat_age_seconds=60.0), worker("b", heartbeat_age_seconds=600.0)]

    assert [one.live for one in worker_figures(rows, UP, 10.0, are_fed=False)] == [None, False]


def test_consumers_are_not_known_when_nobody_knows_who_lives() -> None:
    rows = [worker("a", heartbeat_age_seconds=60.0), worker("b", queues=["email"])]
    found = worker_figures(rows, UP, 100.0, are_fed=False) + worker_figures(rows[:1], UP, 10.0, are_fed=False)

    assert consumers(found, "critical") == 2, "those that are known live"
    assert consumers(found[2:], "critical") is None
    assert consumers(found[2:], "reports") == 0


def test_consumers_are_processes_of_live_workers() -> None:
    found = worker_figures([worker("a"), worker("b", processes=5, heartbeat_age_seconds=60.0)], UP, 10.0)

    assert consumers(found, "critical") == 2
    assert consumers(found, "email") == 0
