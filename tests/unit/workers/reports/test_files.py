import csv
import io
from pathlib import Path

import pytest

from pointsman.shipped.reports import files, table
from pointsman.shipped.reports.figures import Figures, add


def test_file_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    files.write(path, "first")
    files.write(path, "größe\r\n")
    assert path.read_bytes() == "größe\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    files.write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\ud800")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_oldest_reports_of_a_kind_go_and_nothing_else(tmp_path: Path) -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 6)]
    for name in [f"tasks-day-{day}.{suffix}" for day in days for suffix in ("html", "csv")]:
        (tmp_path / name).touch()
    others = [
        "tasks-day-notes.html",
        "tasks-day-2026-11-01.txt",
        "tasks-week-2026-W01.html",
        "mine.csv",
        "year-2026.csv",
    ]
    for name in others:
        (tmp_path / name).touch()
    assert files.prune(tmp_path, "tasks-day", kept=2, spared="2026-11-02") == 2
    left = {path.name for path in tmp_path.iterdir()} - set(others)
    assert left == {f"tasks-day-{day}.{suffix}" for day in (days[1], days[3], days[4]) for suffix in ("html", "csv")}
    assert all((tmp_path / name).exists() for name in others)


def test_csv_is_quoted_and_holds_no_formulas() -> None:
    given: dict[str, float | None] = {"=1+1": 1 / 3, 'a "b", c': None, "-x": -1}
    text = table.text(("name", "value"), [{"name": name, "value": value} for name, value in given.items()])
    assert list(csv.reader(io.StringIO(text))) == [
        ["name", "value"],
        ["'=1+1", "0.333333"],
        ['a "b", c', ""],
        ["'-x", "-1"],
    ]


def test_sum_has_exact_averages_and_the_worst_percentiles() -> None:
    parts = [
        Figures.model_validate(
            {"queue": "email", "succeeded": count, "sla_met": count - 1, "sla_missed": 1, "execution_count": count}
            | {"queue_wait_seconds": {"avg": avg, "p95": p95}, "run_seconds": {"avg": avg}}
        )
        for count, avg, p95 in ((10, 1.0, 9.0), (30, 3.0, 4.0))
    ]
    total = add([*parts, Figures(queue="email")])
    assert (total.queue, total.succeeded, total.sla_attainment) == ("email", 40, 0.95)
    assert (total.queue_wait_seconds.avg, total.queue_wait_seconds.p95) == (2.5, 9.0)
    assert total.run_seconds.avg == 2.5
    assert add([]).is_empty
