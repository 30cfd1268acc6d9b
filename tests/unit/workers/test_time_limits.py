from typing import Any

import pytest

from pointsman import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
from pointsman.task_type.time_limits import limits_of

BASES = (CriticalTask, EmailTask, ReportTask, ExternalAPITask, MaintenanceTask)


@pytest.mark.parametrize("base", BASES)
def test_the_limits_of_the_type_stay_as_they_are_when_nothing_else_is_asked(make: Any, base: Any) -> None:
    task = make(base=base)
    assert limits_of(task, (base.time_limit, None)) == (base.time_limit, base.soft_time_limit)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("seconds", [0.01, 3.0, 24.0, 51.0, 600.0, 86_400.0])
def test_the_soft_limit_comes_before_the_hard_one_whatever_is_asked(make: Any, base: Any, seconds: float) -> None:
    hard, soft = limits_of(make(base=base), (seconds, None))
    assert hard == seconds
    assert soft is not None
    assert 0 < soft < hard


def test_a_longer_run_has_the_types_own_time_to_clean_up(make: Any) -> None:
    assert limits_of(make(base=EmailTask), (600.0, None)) == (600.0, 590.0)


def test_a_shorter_run_has_it_in_proportion(make: Any) -> None:
    assert limits_of(make(base=EmailTask), (3.0, None)) == (3.0, 2.5)


def test_a_type_without_a_soft_limit_gets_none(make: Any) -> None:
    assert limits_of(make(time_limit=60), (3.0, None)) == (3.0, None)


@pytest.mark.parametrize(("asked", "soft"), [((3.0, 1.0), 1.0), ((3.0, 3.0), 2.5), ((3.0, 70.0), 2.5)])
def test_a_soft_limit_of_the_message_counts_where_it_comes_first(make: Any, asked: Any, soft: float) -> None:
    assert limits_of(make(base=EmailTask), asked) == (3.0, soft)
