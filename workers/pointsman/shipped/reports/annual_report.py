"""A year as a page and as CSV."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from pointsman.shipped.reports import table as csv_table
from pointsman.shipped.reports.charts import Calendar, Stack, calendar, columns, share_bar
from pointsman.shipped.reports.figures import Figures
from pointsman.shipped.reports.page import failed_cell, legend, page, section, sla_cell, table, tiles
from pointsman.shipped.reports.words import UNKNOWN, count, escape, percent, seconds, short
from pointsman.shipped.reports.year import Year, YearMonth


def html(year: Year, made_at: datetime) -> str:
    """The page."""
    coverage = f"{count(year.known_days)} of {count(year.days_so_far)} days have figures"
    body = [_headline(year)]
    if not year.known_days:
        body.append('<p class="empty">No figures of this year are known.</p>')
    else:
        body += [_months(year), _days(year), _month_table(year), _sla_matrix(year), _task_types(year)]
    return page(f"The year {year.number}", "Pointsman", coverage, body, made_at)


def csv(year: Year) -> str:
    """A row for each month in all, by queue and by task type, and for each known day. An unknown month is empty."""
    return csv_table.text(("scope", "name", "period", "days_known", "days", *csv_table.COLUMNS), _rows(year))


def _rows(year: Year) -> Iterator[dict[str, Any]]:
    for month in year.months:
        frame = {"period": f"{month.first:%Y-%m}", "days_known": len(month.days), "days": month.last.day}
        yield {"scope": "month", "name": "", **frame, **(csv_table.columns(month.total) if month.is_known else {})}
        for scope, items in (("month_queue", month.queues), ("month_task_type", month.task_types)):
            for name in sorted(items):
                yield {"scope": scope, "name": name, **frame, **csv_table.columns(items[name])}
    for month in year.months:
        for day in sorted(month.days):
            frame = {"period": day.isoformat(), "days_known": 1, "days": 1}
            yield {"scope": "day", "name": "", **frame, **csv_table.columns(month.days[day].queues.totals)}


def _headline(year: Year) -> str:
    total = year.total
    busiest = max(year.months, key=lambda month: month.total.succeeded)
    most = (f"{busiest.first:%B}", f"{count(busiest.total.succeeded)} succeeded") if busiest.is_known else (UNKNOWN, "")
    return tiles(
        [
            ("Submitted", short(total.submitted), "tasks"),
            ("Succeeded", short(total.succeeded), "tasks"),
            ("Failed", short(total.failed), f"{count(total.retry_count)} attempts retried"),
            ("Success", percent(total.success_rate), "of tasks that ended"),
            ("SLA", percent(total.sla_attainment), f"{count(total.sla_missed)} starts too late"),
            ("Busiest month", *most),
        ]
    )


def _months(year: Year) -> str:
    totals = [month.total if month.is_known else None for month in year.months]
    stacks = (
        Stack("succeeded", "good", [None if total is None else total.succeeded for total in totals]),
        Stack("failed", "bad", [None if total is None else total.failed for total in totals]),
    )
    labels = [f"{month.first:%b}" for month in year.months]
    ahead = [year.is_ahead(month) for month in year.months]
    return section(
        "By month",
        "Tasks that ended. A month without figures is hatched: the control plane kept none of it.",
        legend(("good", "succeeded"), ("bad", "failed"), ("unknown", "no figures")),
        columns(labels, stacks, "Tasks that succeeded and failed in each month", ahead=ahead),
    )


def _days(year: Year) -> str:
    known = {day: figures.queues.totals.succeeded for month in year.months for day, figures in month.days.items()}
    days = (date(year.number, 1, 1) + timedelta(days=n) for n in range(366))
    ahead = year.until.date()
    return section(
        "By day",
        "Tasks that succeeded; the darker the more. Weeks run from Monday, at the top, to Sunday.",
        calendar(
            Calendar(known, ahead), [day for day in days if day.year == year.number], "Tasks that succeeded on each day"
        ),
    )


def _month_table(year: Year) -> str:
    heads = ("Month", "Days", "Submitted", "Succeeded", "Failed", "Success", "Wait avg", "Wait p95*", "SLA", "")
    rows = [_month_row(month) for month in year.months if not year.is_ahead(month)]
    return section(
        "Month by month",
        "Days: how many have figures. * of the worst day.",
        table(heads, rows, ["The year", f"{year.known_days}", *_cells(year.total)]),
    )


def _month_row(month: YearMonth) -> list[str]:
    name = f"{month.first:%B}"
    days = f"{len(month.days)} of {month.last.day}"
    return [name, days, *(_cells(month.total) if month.is_known else [UNKNOWN] * 7 + [""])]


def _cells(total: Figures) -> list[str]:
    return [
        count(total.submitted),
        count(total.succeeded),
        failed_cell(total.failed, total.success_rate),
        percent(total.success_rate),
        seconds(total.queue_wait_seconds.avg),
        seconds(total.queue_wait_seconds.p95),
        sla_cell(total.sla_attainment),
        share_bar(total.sla_attainment, "SLA attainment"),
    ]


def _sla_matrix(year: Year) -> str:
    months = [month for month in year.months if month.is_known]
    found = [month.queues for month in months]
    rows = [
        [
            escape(queue.name),
            *(sla_cell(queues[queue.name].sla_attainment) if queue.name in queues else UNKNOWN for queues in found),
            sla_cell(queue.sla_attainment),
        ]
        for queue in year.queues
    ]
    return section(
        "SLA by queue",
        "Share of tasks that started within the target of their queue.",
        table(("Queue", *(f"{month.first:%b}" for month in months), "Year"), rows),
    )


def _task_types(year: Year) -> str:
    heads = ("Task type", "Retries", "Submitted", "Succeeded", "Failed", "Success", "Wait avg", "Wait p95*", "SLA", "")
    rows = [[escape(item.name), count(item.retry_count), *_cells(item)] for item in year.task_types]
    return section("By task type", "The busiest first. * of the worst day.", table(heads, rows))
