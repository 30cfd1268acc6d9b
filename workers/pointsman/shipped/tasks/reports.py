"""Reports about the control plane's own work."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypedDict

from pydantic import Field

from pointsman.app import app
from pointsman.bases import ReportTask
from pointsman.settings import settings
from pointsman.shipped.control_plane import control_plane
from pointsman.shipped.moments import Moment
from pointsman.shipped.reports import annual_report, files
from pointsman.shipped.reports.period import Kind, Period
from pointsman.shipped.reports.tasks_report import TasksReport
from pointsman.shipped.reports.year import Year


class Written(TypedDict):
    """What ``create_scheduled_reports`` returns."""

    start: str
    end: str
    html: str
    """Path of the page."""
    csv: str
    submitted: int
    succeeded: int
    failed: int
    success_rate: float | None
    sla_attainment: float | None
    queue_wait_p95_seconds: float | None
    deleted: int
    """Older reports of the kind that went."""


@app.task(name="create_scheduled_reports", base=ReportTask, bind=True)
def create_scheduled_reports(
    self: Any, period: Kind = "day", at: Moment | None = None, so_far: bool = False
) -> Written:
    """Writes a throughput and SLA report of the last whole hour, day, week or month (UTC), as HTML and as CSV.

    ``at`` takes another moment for now; ``so_far`` takes the period that is not over yet. The same period gives the
    same file names, so a report made again replaces itself. An API that is away is retried.
    """
    now = datetime.now(UTC)
    asked = min(at or now, now)
    chosen = Period.so_far(period, asked) if so_far else Period.last(period, asked)
    ours = settings()
    with control_plane(ours) as client:
        report = TasksReport.gather(client, chosen, self.progress)
    directory = ours.find_reports_dir()
    kind = f"tasks-{period}"
    html, csv = (directory / f"{kind}-{chosen.slug}.{suffix}" for suffix in ("html", "csv"))
    files.write(csv, report.csv())
    files.write(html, report.html(now))
    totals = report.queues.totals
    return {
        "start": chosen.start.isoformat().replace("+00:00", "Z"),
        "end": chosen.end.isoformat().replace("+00:00", "Z"),
        "html": str(html.absolute()),
        "csv": str(csv.absolute()),
        "submitted": totals.submitted,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "success_rate": totals.success_rate,
        "sla_attainment": totals.sla_attainment,
        "queue_wait_p95_seconds": totals.queue_wait_seconds.p95,
        "deleted": files.prune(directory, kind, ours.reports_kept, spared=chosen.slug),
    }


class WrittenYear(TypedDict):
    """What ``generate_annual_report`` returns."""

    year: int
    html: str
    """Path of the page."""
    csv: str
    days_known: int
    """Days with figures."""
    days_so_far: int
    missing_months: list[str]
    """Months that are over or begun and have no figures at all."""
    submitted: int
    succeeded: int
    failed: int
    success_rate: float | None
    sla_attainment: float | None


@app.task(name="generate_annual_report", base=ReportTask, bind=True)
def generate_annual_report(self: Any, year: Annotated[int, Field(ge=2000, le=9000)] | None = None) -> WrittenYear:
    """Writes a report of a year, by default this one, as HTML and as CSV, and shows its progress month by month.

    Each day is asked of the API once and then kept beside the reports, so a second attempt goes on where the first
    one stopped, and a year outlives the metrics of the control plane if this runs now and then. A month without any
    figures is shown as missing.
    """
    now = datetime.now(UTC)
    until = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    ours = settings()
    directory = ours.find_reports_dir()
    with control_plane(ours) as client:
        found = Year.gather(
            client, year or now.year, until, directory, lambda done, note: self.progress(done, 12, note)
        )
    self.progress(12, 12, "writing")
    html, csv = (directory / f"year-{found.number}.{suffix}" for suffix in ("html", "csv"))
    files.write(csv, annual_report.csv(found))
    files.write(html, annual_report.html(found, now))
    total = found.total
    return {
        "year": found.number,
        "html": str(html.absolute()),
        "csv": str(csv.absolute()),
        "days_known": found.known_days,
        "days_so_far": found.days_so_far,
        "missing_months": [
            f"{month.first:%Y-%m}" for month in found.months if not month.is_known and not found.is_ahead(month)
        ],
        "submitted": total.submitted,
        "succeeded": total.succeeded,
        "failed": total.failed,
        "success_rate": total.success_rate,
        "sla_attainment": total.sla_attainment,
    }
