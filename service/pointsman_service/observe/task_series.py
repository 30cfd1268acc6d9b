"""Figures of ``TaskMetrics`` over time: several at once, by step and group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pointsman_service.observe.sla import attainment
from pointsman_service.observe.task_metrics import top
from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.histogram import percentile
from pointsman_service.store.metrics.reach import Resolution
from pointsman_service.store.metrics.summing import GroupBy, Sums
from pointsman_service.store.store import Store

STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds. Each divides a day, and begins where its day does."""
STEPS_OF_HOURS = 3600
"""Those of them from here on are sums of hours; shorter ones are sums of minutes."""
MOST_STEPS = 1_500
LONGEST_WINDOW = MOST_STEPS * STEPS[-1]
"""Seconds."""
MOST_POINTS = 6_000
"""Steps times groups that have an item of their own."""
_USUAL_STEPS = 120
_LONGEST = ((3600, 2 * 86_400.0), (86_400, 100 * 86_400.0))
"""Steps that are shorter than the first are answered for windows up to the second, in seconds: a step is the sum of
rows that are no longer than itself."""
_MOST_MINUTES, _MOST_HISTOGRAMS = 200_000, 20_000
"""Rows of minutes that are added up, without durations and with them: of more, steps are hours."""
_ALWAYS_SECONDS = 2 * 3600.0
"""Windows that are told as finely as asked for, whatever they hold: as much is at the edges of any window."""
_DIGITS = 6
_COUNTED = {
    "submitted": "submitted",
    "started": "started",
    "execution_count": "executions",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
    "retry_count": "retried",
    "timed_out": "timed_out",
    "interrupted": "interrupted",
    "uncertain_sendings": "uncertain_sendings",
    "duplicates": "duplicates",
    "native": "native",
    "held": "held",
    "rescued": "rescued",
    "cancelled_running": "cancelled_running",
    "predicted": "predicted",
    "kept": "kept",
    "kept_p50": "kept_p50",
    "sla_met": "sla_met",
    "sla_missed": "sla_missed",
}
Figure = Callable[[Sums], float | None]


def _count(name: str) -> Figure:
    return lambda sums: int(sums.counts[name])


def _share(name: str) -> Figure:
    def of(sums: Sums) -> float | None:
        ended = sums.counts["succeeded"] + sums.counts["failed"]
        return sums.counts[name] / ended if ended else None

    return of


def _average(histogram: str, seconds: str) -> Figure:
    def of(sums: Sums) -> float | None:
        observed = sum(getattr(sums, histogram).values())
        return sums.counts[seconds] / observed if observed else None

    return of


def _percentile(histogram: str, fraction: float) -> Figure:
    return lambda sums: percentile(getattr(sums, histogram), fraction)


_DURATIONS: dict[str, Figure] = {
    f"{name}.{what}": figure
    for name, histogram in (("run_seconds", "run"), ("queue_wait_seconds", "wait"))
    for what, figure in (
        ("avg", _average(histogram, f"{name}_sum")),
        ("p50", _percentile(histogram, 0.50)),
        ("p95", _percentile(histogram, 0.95)),
        ("p99", _percentile(histogram, 0.99)),
    )
}
FIGURES: Mapping[str, Figure] = {
    **{name: _count(counter) for name, counter in _COUNTED.items()},
    "held_seconds": lambda sums: sums.counts["held_seconds_sum"],
    "success_rate": _share("succeeded"),
    "failure_rate": _share("failed"),
    "sla_attainment": lambda sums: attainment(sums.counts["sla_met"], sums.counts["sla_missed"]),
    **_DURATIONS,
}
"""Every figure, by the name it has in ``/v1/metrics/tasks``."""


class Question(NamedTuple):
    """What is asked for."""

    metrics: Sequence[str]
    """Of ``FIGURES``."""
    group_by: GroupBy
    window_seconds: float
    until: datetime | None
    step_seconds: int
    """Of ``STEPS``."""
    most: int
    """Groups that have an item of their own."""


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one group, one value for each step."""

    group: Sums
    """Its names; the counts in it mean nothing."""
    values: dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Figures over time."""

    begins: datetime
    ends: datetime
    """The end of the last step, or now while that is not over."""
    resolution: Resolution
    """How finely both were cut: steps of days are whole days."""
    step_seconds: int
    """Longer than asked for where nothing finer is kept, or there is too much of it."""
    steps: list[datetime]
    """When each begins; steps in which nothing happened are there too."""
    items: list[Series]


def usual_step(window_seconds: float) -> int:
    """The shortest step that makes no more than 120 of the window, and that such a window is told by."""
    usual = (
        step for step in STEPS if window_seconds / step <= _USUAL_STEPS and _too_fine(step, window_seconds) is None
    )
    return next(usual, STEPS[-1])


def fault_of(question: Question) -> str | None:
    """Why this is too much to ask for."""
    steps = question.window_seconds / question.step_seconds
    if steps > MOST_STEPS:
        return f"a window has at most {MOST_STEPS} steps: take a longer step or a shorter window"
    groups = 1 if question.group_by == "none" else question.most
    if steps * groups > MOST_POINTS:
        return f"steps times groups are at most {MOST_POINTS}: take a longer step, a shorter window or a smaller top"
    return _too_fine(question.step_seconds, question.window_seconds)


def _too_fine(step_seconds: int, window_seconds: float) -> str | None:
    for step, longest in _LONGEST:
        if step_seconds < step and window_seconds > longest:
            return f"steps shorter than {step} s are told of windows up to {longest / 86_400:g} days"
    return None


async def read(store: Store, question: Question) -> Answer:
    """The figures by step and group. Raises the store's errors."""
    metrics, group_by, window, until, step_seconds, most = question
    durations = any(name in _DURATIONS for name in metrics)
    async with store.statement() as connection:
        if step_seconds < STEPS_OF_HOURS and window > _ALWAYS_SECONDS:
            most_rows = _MOST_HISTOGRAMS if durations else _MOST_MINUTES
            if await summing.minutes_within(connection, group_by, window, until) > most_rows:
                step_seconds = STEPS_OF_HOURS
        ranked: list[Sums] = []
        if group_by != "none":
            whole = await summing.over_window(connection, group_by, window, until, histograms=False)
            ranked = top(whole.sums, most)
        found = await summing.over_steps(
            connection,
            group_by,
            window,
            until,
            timedelta(seconds=step_seconds),
            [name for one in ranked if (name := _name(one)) is not None],
            histograms=durations,
        )
    assert found.step is not None
    count = round((found.reach.ends - found.reach.begins) / found.step)
    steps = [found.reach.begins + number * found.step for number in range(count)]
    groups: dict[tuple[str | None, bool], dict[datetime, Sums]] = {}
    for one in ranked:
        groups[_name(one), one.is_others] = {}
    if group_by == "none":
        groups[None, False] = {}
    for sums in found.sums:
        assert sums.step is not None
        groups.setdefault((_name(sums), sums.is_others), {})[sums.step] = sums
    items = [
        _series(name, is_others, by_step, group_by, metrics, steps) for (name, is_others), by_step in groups.items()
    ]
    return Answer(
        found.reach.begins, found.until, found.reach.resolution, round(found.step.total_seconds()), steps, items
    )


def _name(sums: Sums) -> str | None:
    return sums.name or sums.task_type or sums.queue


def _series(
    name: str | None,
    is_others: bool,
    by_step: Mapping[datetime, Sums],
    group_by: GroupBy,
    metrics: Sequence[str],
    steps: Sequence[datetime],
) -> Series:
    nothing = summing.nothing_of(group_by, name, is_others=is_others)
    rows = [by_step.get(step, nothing) for step in steps]
    return Series(nothing, {metric: [_rounded(FIGURES[metric](row)) for row in rows] for metric in metrics})


def _rounded(value: float | None) -> float | None:
    return round(value, _DIGITS) if isinstance(value, float) else value
