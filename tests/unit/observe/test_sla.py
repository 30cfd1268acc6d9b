"""Attainment, error budget and burn."""

import pytest

from pointsman_contract.queues import QueueSpec
from pointsman_service.observe.sla import Burn, Starts, objective_of
from pointsman_service.observe.sla_watch import burns, sla_figures
from pointsman_service.store.alerts.facts import StartsRow
from pointsman_service.store.queues.overdue import MOST_COUNTED, Overdue
from tests.unit.observe.test_figures import sums

EMAIL = QueueSpec(name="email", priority=7, sla_seconds=5)
CRITICAL = QueueSpec(name="critical", priority=10, sla_seconds=2, sla_objective=0.999)


@pytest.mark.parametrize(
    ("starts", "rate", "left"),
    [
        (Starts(), None, None),
        (Starts(100, 0), 0.0, 1.0),
        (Starts(99, 1), 1.0, 0.0),
        (Starts(98, 2), 2.0, -1.0),
        (Starts(0, 5), 100.0, -99.0),
    ],
)
def test_burn_is_what_missed_by_what_may(starts: Starts, rate: float | None, left: float | None) -> None:
    assert starts.burn_rate(0.99) == (rate if rate is None else pytest.approx(rate))
    assert starts.budget_left(0.99) == (left if left is None else pytest.approx(left))


def test_a_queue_has_its_own_objective_or_that_of_all() -> None:
    assert (objective_of(EMAIL, 0.99), objective_of(CRITICAL, 0.99)) == (0.99, 0.999)


def test_what_missed_and_waits_counts_as_missed_where_it_missed() -> None:
    rows = [StartsRow("email", (10.0, 20.0, 30.0, 40.0), (0.0, 1.0, 2.0, 3.0))]
    late = {"email": Overdue(9, (4, 5, 6, 7)), "critical": Overdue(1, (0, 0, 0, 1))}
    found = burns(rows, late)
    assert found["email"] == Burn(Starts(10, 4), Starts(20, 6), Starts(30, 8), Starts(40, 10))
    assert found["critical"].six_hours == Starts(0, 1)


def test_figures_of_every_queue_the_most_urgent_first() -> None:
    burn = {"email": Burn(five_minutes=Starts(90, 10))}
    counted = [sums("email", sla_met=985.0, sla_missed=5.0)]
    critical, email = sla_figures([EMAIL, CRITICAL], 0.99, counted, burn, {"email": Overdue(10, (10, 10, 10, 10))})
    assert (critical.queue, critical.objective, critical.attainment, critical.error_budget_left) == (
        "critical", 0.999, None, None,
    )  # fmt: skip
    assert (email.met, email.missed, email.missed_and_waiting) == (985, 5, 10)
    assert email.attainment == 0.985
    assert email.error_budget_left == pytest.approx(-0.5)
    assert [(one.window_seconds, one.rate, one.starts, one.missed) for one in email.burn] == [
        (300.0, pytest.approx(10.0), 100, 10), (1800.0, None, 0, 0), (3600.0, None, 0, 0), (21_600.0, None, 0, 0),
    ]  # fmt: skip


def test_more_than_were_counted_are_said_to_be_more() -> None:
    (email,) = sla_figures([EMAIL], 0.99, [], {}, {"email": Overdue(MOST_COUNTED, (0, 0, 0, 0))})
    assert email.missed_and_waiting_is_least
