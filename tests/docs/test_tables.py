"""What the tables of the documentation say is what the code does."""

import re

import httpx
import pytest

from pointsman import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ManagedTask, ReportTask
from tests.docs import log_lines
from tests.docs.desk import Desk
from tests.docs.log_lines import EXPLAINED, Line, NotConstant
from tests.stand.environment import ROOT

BASES: tuple[type[ManagedTask], ...] = (CriticalTask, EmailTask, ReportTask, ExternalAPITask, MaintenanceTask)

_UP_ROW = re.compile(r"^\| `(?P<text>[^`]+)` \|", re.MULTILINE)
_METRIC = re.compile(r"\bpointsman_(?!(?:service|contract)\b)\w+")


def test_every_warning_and_error_is_explained() -> None:
    missing = {line for line in log_lines.in_source() if line.level in EXPLAINED} - set(log_lines.explained())
    assert not missing, f"say in docs/troubleshooting.md what these mean: {missing}"


def test_no_line_is_explained_that_nothing_logs() -> None:
    explained = log_lines.explained()
    assert len(set(explained)) == len(explained)
    assert not set(explained) - log_lines.in_source()


def test_every_logger_can_be_seen() -> None:
    paths = [path for package in log_lines.SOURCES for path in (ROOT / package).rglob("*.py")]
    assert {str(path): found for path in paths if (found := log_lines.loggers_named_otherwise(path.read_text()))} == {}


def test_messages_put_together_at_run_time_are_refused() -> None:
    assert list(log_lines.lines_of('log.warning("task %s ends: %d", a, b)')) == [Line("warning", "task … ends: …")]
    with pytest.raises(NotConstant):
        list(log_lines.lines_of('log.warning(f"task {a}")'))


def test_what_up_is_said_to_say_it_says() -> None:
    section = log_lines.PAGE.read_text().partition("### What `up` says")[2]
    rows = [found["text"] for found in _UP_ROW.finditer(section)]
    assert rows
    assert not set(rows) - log_lines.said_by_up()


@pytest.mark.parametrize("base", BASES, ids=[str(base.__name__) for base in BASES])
def test_the_table_of_bases_is_true(base: type[ManagedTask]) -> None:
    page = (ROOT / "docs" / "writing-tasks.md").read_text()
    (row,) = re.findall(rf"^\| `{base.__name__}` \|(.*)\|$", page, re.MULTILINE)
    cells = [cell.strip() for cell in row.split("|")]
    options = vars(base)
    assert cells[:4] == [
        f"`{base.queue}`",
        f"{base.time_limit} s, {base.soft_time_limit} s",
        f"{base.max_retries}",
        f"{options['retry_backoff']} s to {options['retry_backoff_max']} s",
    ]


@pytest.mark.acceptance
def test_every_metric_is_in_the_table_and_every_one_in_it_exists(desk: Desk) -> None:
    exposed = httpx.get(desk.here("http://127.0.0.1:8000/metrics"), trust_env=False).text
    real = {
        f"{name}_total" if kind == "counter" and not name.endswith("_total") else name
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposed, re.MULTILINE)
    }
    page = (ROOT / "docs" / "operating.md").read_text()
    named = {name.removesuffix("_bucket") for name in _METRIC.findall(page)}
    assert named == {name for name in real if not name.endswith("_created")}
