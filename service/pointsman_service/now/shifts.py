"""Task types that do otherwise than before: that fail more, or less, or take longer. Pure."""

from collections.abc import Iterable, Sequence

from pointsman_service.now.picture import Shift
from pointsman_service.observe.durations import durations
from pointsman_service.store.metrics.summing import Sums

_FEWEST = 20
"""Runs within each of both: of fewer a share says nothing."""
_RATE_APART = 0.05
_TIMES = 2.0
_SECONDS_APART = 0.1
_MOST = 5


def shifts(before: Iterable[Sums], lately: Iterable[Sums]) -> tuple[Shift, ...]:
    """Those whose failure rate moved by five points and doubled or halved, or whose p95 of run time did by a tenth of a
    second; what moved most first.
    """
    known = {one.task_type: one for one in before}
    found: list[tuple[float, Shift]] = []
    for one in lately:
        old = known.get(one.task_type)
        if one.task_type is not None and old is not None:
            found += [*_rate(one.task_type, old, one), *_run_time(one.task_type, old, one)]
    return tuple(shift for _, shift in sorted(found, key=lambda pair: (-pair[0], pair[1].task_type))[:_MOST])


def _rate(task_type: str, old: Sums, new: Sums) -> Sequence[tuple[float, Shift]]:
    was, now = _failure_rate(old), _failure_rate(new)
    if was is None or now is None or abs(now - was) < _RATE_APART or not _apart(was, now):
        return ()
    shift = Shift(task_type, "failure_rate", round(was, 4), round(now, 4), int(new.counts["executions"]))
    return ((_factor(was, now, _RATE_APART), shift),)


def _run_time(task_type: str, old: Sums, new: Sums) -> Sequence[tuple[float, Shift]]:
    if min(sum(old.run.values()), sum(new.run.values())) < _FEWEST:
        return ()
    was, now = (durations(one.run, one.counts["run_seconds_sum"]).p95 for one in (old, new))
    if was is None or now is None or abs(now - was) < _SECONDS_APART or not _apart(was, now):
        return ()
    shift = Shift(task_type, "run_seconds_p95", round(was, 3), round(now, 3), int(new.counts["executions"]))
    return ((_factor(was, now, _SECONDS_APART), shift),)


def _failure_rate(sums: Sums) -> float | None:
    failed, ended = sums.counts["failed"], sums.counts["failed"] + sums.counts["succeeded"]
    return failed / ended if ended >= _FEWEST else None


def _apart(was: float, now: float) -> bool:
    return max(was, now) >= _TIMES * min(was, now)


def _factor(was: float, now: float, least: float) -> float:
    return max(was, now, least) / max(min(was, now), least)
