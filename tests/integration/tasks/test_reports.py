"""Against a server that speaks the API's words. The acceptance tests do it against the API itself."""

import csv
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pointsman.shipped.control_plane import ControlPlaneAway, NoControlPlane
from pointsman.shipped.tasks.reports import create_scheduled_reports, generate_annual_report
from tests.integration.tasks.conftest import Configure, assert_refused, run, run_attempt
from tests.peers.control_plane import TYPES, group, serve
from tests.peers.http import HTTPPeer, Recorded, Reply

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Reader(HTMLParser):
    """The text of a page, and whether every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.names: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def read(path: str) -> Reader:
    page = Path(path).read_text()
    assert not re.findall(r"https?://|src=|@import|url\((?!#)", page), "a report loads nothing"
    return Reader(page)


def rows(path: str, **wanted: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as stream:
        found = list(csv.DictReader(stream))
    return [row for row in found if wanted.items() <= row.items()]


@pytest.fixture
def peer(http_peer: HTTPPeer, configure: Configure, tmp_path: Path) -> HTTPPeer:
    """A server that the workers take for the API."""
    configure(api_url=http_peer.url, reports_dir=tmp_path / "reports")
    return http_peer


def always(_: datetime, name: str) -> dict[str, Any]:
    """The same every day: 240 tasks of each type, 24 email failures, 48 external calls too late."""
    return group(240, failed=24 if "email" in name else 0, missed=48 if name == "http_request" else 0, wait=0.5)


def test_report_of_a_day_is_written_as_page_and_table(peer: HTTPPeer, tmp_path: Path) -> None:
    serve(peer, always)
    result = run(create_scheduled_reports, period="day", at="2026-03-02T10:00:00Z")
    assert (result["start"], result["end"]) == ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    assert result["html"] == str(tmp_path / "reports" / "tasks-day-2026-03-01.html")
    assert (result["submitted"], result["failed"]) == (240 * len(TYPES), 24)
    assert result["sla_attainment"] == pytest.approx(1 - 48 / (240 * len(TYPES)))
    page = read(result["html"])
    assert "Sunday, 1 March 2026" in page.words
    assert {"critical", "email", "maintenance", "http_request"} <= set(page.words)
    assert page.names.count("svg") >= 1 + 1 + 6 + len(TYPES)
    (total,) = rows(result["csv"], scope="total")
    assert (total["submitted"], total["failed"], total["start"]) == (str(240 * len(TYPES)), "24", "2026-03-01T00:00Z")
    (external,) = rows(result["csv"], scope="queue", name="external_api")
    assert (external["submitted"], external["sla_attainment"]) == ("480", "0.9")
    assert len(rows(result["csv"], scope="task_type")) == len(TYPES)
    steps = rows(result["csv"], scope="step")
    assert (len(steps), steps[0]["submitted"], steps[-1]["end"]) == (24, str(10 * len(TYPES)), "2026-03-02T00:00Z")


def test_api_is_asked_for_exactly_the_period(peer: HTTPPeer) -> None:
    serve(peer, always)
    run(create_scheduled_reports, period="month", at="2026-04-01T00:00:00Z")
    asked = [request.query for request in peer.requests if request.path == "/v1/metrics/tasks"]
    windows = {(query["until"][0], float(query["window_seconds"][0])) for query in asked[:2]}
    assert windows == {("2026-04-01T00:00:00+00:00", 31 * 86_400.0)}
    assert [query["group_by"] for query in asked[:2]] == [["queue"], ["task_type"]]


def test_report_made_again_replaces_itself(peer: HTTPPeer, tmp_path: Path) -> None:
    serve(peer, always)
    arguments = {"period": "hour", "at": "2026-03-02T10:00:00Z"}
    first = run(create_scheduled_reports, **arguments)
    assert run(create_scheduled_reports, **arguments) == first
    assert len(list((tmp_path / "reports").iterdir())) == 2


def test_period_so_far_has_a_name_of_its_own(peer: HTTPPeer) -> None:
    serve(peer, always)
    result = run(create_scheduled_reports, period="week", so_far=True, at="2026-03-04T12:00:30Z")
    assert Path(result["html"]).name == "tasks-week-2026-W10-so-far.html"
    assert result["end"] == "2026-03-04T12:01:00Z"
    future = run(create_scheduled_reports, period="day", so_far=True, at="2090-01-01T00:00:00Z")
    assert datetime.fromisoformat(future["end"]) <= datetime.now(UTC) + timedelta(minutes=1)


def test_older_reports_go(peer: HTTPPeer, configure: Configure, tmp_path: Path) -> None:
    serve(peer, always)
    configure(reports_kept=2)
    deleted = [
        run(create_scheduled_reports, period="day", at=f"2026-03-{day:02}T10:00:00Z")["deleted"] for day in range(2, 7)
    ]
    assert deleted == [0, 0, 0, 1, 1]
    kept = sorted(path.stem for path in (tmp_path / "reports").glob("*.csv"))
    assert kept == ["tasks-day-2026-03-03", "tasks-day-2026-03-04", "tasks-day-2026-03-05"]


def test_empty_period_says_so(peer: HTTPPeer) -> None:
    serve(peer, lambda *_: None)
    result = run(create_scheduled_reports)
    assert (result["submitted"], result["success_rate"], result["queue_wait_p95_seconds"]) == (0, None, None)
    assert "Nothing was recorded in this period." in read(result["html"]).words


def test_names_cannot_become_markup_or_formulas(peer: HTTPPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, "<script>alert(1)</script>", "critical")
    monkeypatch.setitem(TYPES, "=cmd()", "<img alt=x>")
    serve(peer, always)
    result = run(create_scheduled_reports)
    page = read(result["html"])
    assert not {"script", "img"} & set(page.names)
    assert {"<script>alert(1)</script>", "=cmd()", "<img alt=x>"} <= set(page.words)
    assert rows(result["csv"], scope="task_type", name="'=cmd()")


def test_progress_is_shown_step_by_step(peer: HTTPPeer) -> None:
    serve(peer, always)
    shown = run_attempt(create_scheduled_reports, period="hour").progress
    assert [(one["current"], one["total"]) for one in shown] == [(float(n), 12.0) for n in range(13)]


def test_api_that_is_away_fails_for_now(peer: HTTPPeer, tmp_path: Path) -> None:
    peer.on("/v1/queues", Reply.of({"detail": "no database"}, 503))
    with pytest.raises(ControlPlaneAway, match="no database"):
        run(create_scheduled_reports)
    serve(peer, always)
    peer.on("/v1/metrics/tasks", Reply.of({"items": "?"}))
    with pytest.raises(ControlPlaneAway, match="no figures"):
        run(create_scheduled_reports)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("task", [create_scheduled_reports, generate_annual_report])
def test_unknown_api_says_what_to_set(task: Any, configure: Configure) -> None:
    with pytest.raises(NoControlPlane, match="POINTSMAN_API_URL"):
        run(task)


@pytest.mark.parametrize("bad", [{"period": "year"}, {"at": "noon"}, {"at": "2026-01-01T00:00:00"}, {"dir": "/"}])
def test_bad_argument_of_a_report_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(create_scheduled_reports, **bad)


@pytest.mark.parametrize("bad", [{"year": 1999}, {"year": "last"}, {"year": 2026.5}])
def test_bad_year_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(generate_annual_report, **bad)


def spring(at: datetime, name: str) -> dict[str, Any] | None:
    """Figures from 11 March to the end of May 2025."""
    return always(at, name) if date(2025, 3, 11) <= at.date() < date(2025, 6, 1) else None


def days_asked(peer: HTTPPeer) -> int:
    windows = [request.query for request in peer.requests if request.path == "/v1/metrics/tasks"]
    return sum((one["window_seconds"], one["group_by"]) == (["86400.0"], ["queue"]) for one in windows)


def test_year_shows_its_months_and_misses_what_nobody_knows(peer: HTTPPeer) -> None:
    serve(peer, spring)
    result = run(generate_annual_report, year=2025)
    assert (result["days_known"], result["days_so_far"]) == (21 + 30 + 31, 365)
    assert result["missing_months"] == [f"2025-{month:02}" for month in (1, 2, 6, 7, 8, 9, 10, 11, 12)]
    assert result["submitted"] == 82 * 240 * len(TYPES)
    page = read(result["html"])
    assert {"The year 2025", "82 of 365 days have figures", "21 of 31", "0 of 28"} <= set(page.words)
    months = rows(result["csv"], scope="month")
    assert [(row["period"], row["days_known"], row["submitted"]) for row in months[1:4]] == [
        ("2025-02", "0", ""),
        ("2025-03", "21", str(21 * 240 * len(TYPES))),
        ("2025-04", "30", str(30 * 240 * len(TYPES))),
    ]
    (april,) = rows(result["csv"], scope="month_queue", name="external_api", period="2025-04")
    assert april["sla_attainment"] == "0.9"
    assert len(rows(result["csv"], scope="day")) == 82


def test_progress_of_a_year_is_shown_month_by_month(peer: HTTPPeer) -> None:
    serve(peer, lambda *_: None)
    shown = run_attempt(generate_annual_report, year=2025).progress
    assert [(one["current"], one["total"]) for one in shown] == [(float(n), 12.0) for n in range(13)]
    assert [one["note"] for one in shown][::6] == ["January 2025", "July 2025", "writing"]


def test_known_days_are_not_asked_for_again(peer: HTTPPeer) -> None:
    serve(peer, spring)
    first = run(generate_annual_report, year=2025)
    assert days_asked(peer) == 31 + 30 + 31
    peer.requests.clear()
    # The control plane forgets; the report does not.
    serve(peer, lambda *_: None)
    assert run(generate_annual_report, year=2025) == first
    assert days_asked(peer) == 0


def winter(at: datetime, name: str) -> dict[str, Any] | None:
    """Figures of January and February 2025."""
    return always(at, name) if date(2025, 1, 1) <= at.date() < date(2025, 3, 1) else None


def test_second_attempt_goes_on_where_the_first_stopped(peer: HTTPPeer) -> None:
    serve(peer, winter)
    answer = peer.route("/v1/metrics/tasks")

    def until_february(request: Recorded) -> Reply:
        return Reply(503) if request.query["until"][0] > "2025-02-10" else answer(request)

    peer.on("/v1/metrics/tasks", until_february)
    with pytest.raises(ControlPlaneAway):
        run(generate_annual_report, year=2025)
    peer.on("/v1/metrics/tasks", answer)
    peer.requests.clear()
    assert run(generate_annual_report, year=2025, attempt=2)["days_known"] == 31 + 28
    assert days_asked(peer) == 28


def test_kept_figures_that_cannot_be_read_are_asked_for_again(peer: HTTPPeer, tmp_path: Path) -> None:
    serve(peer, spring)
    first = run(generate_annual_report, year=2025)
    (tmp_path / "reports" / "figures" / "2025-04.json").write_text("{")
    assert run(generate_annual_report, year=2025) == first


def test_this_year_ends_today_and_today_is_not_kept(peer: HTTPPeer, tmp_path: Path) -> None:
    today = date.min
    while today != datetime.now(UTC).date():
        # Again where a day began meanwhile.
        today = datetime.now(UTC).date()
        since = today - timedelta(days=3)
        serve(peer, lambda at, name: always(at, name) if at.date() >= since else None)  # noqa: B023 - called before it changes
        result = run(generate_annual_report)
    assert result["year"] == today.year
    assert result["days_so_far"] == (today - date(today.year, 1, 1)).days + 1
    assert 1 <= result["days_known"] <= 4
    assert f"{today:%Y-%m}" not in result["missing_months"]
    kept = "".join(path.read_text() for path in (tmp_path / "reports").glob("figures/*"))
    assert today.isoformat() not in kept


def test_year_to_come_has_no_figures(peer: HTTPPeer) -> None:
    serve(peer, always)
    result = run(generate_annual_report, year=2090)
    assert (result["days_known"], result["days_so_far"], result["missing_months"]) == (0, 0, [])
    assert "No figures of this year are known." in read(result["html"]).words
    assert days_asked(peer) == 0
