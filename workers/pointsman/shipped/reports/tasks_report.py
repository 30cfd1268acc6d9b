"""Throughput and SLA of one period."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, TypeAdapter, ValidationError

from pointsman.shipped.control_plane import ControlPlaneAway
from pointsman.shipped.reports import table as csv_table
from pointsman.shipped.reports.charts import Stack, columns, share_bar, waits
from pointsman.shipped.reports.figures import Figures, Metrics
from pointsman.shipped.reports.page import failed_cell, legend, page, section, sla_cell, table, tiles
from pointsman.shipped.reports.period import Period
from pointsman.shipped.reports.words import count, escape, percent, seconds, short

if TYPE_CHECKING:
    from pointsman_client.sync.client import Client

_HEADS = ("Submitted", "Succeeded", "Failed", "Success", "Wait p50", "Wait p95", "Run p95", "SLA", "")


class _Queue(BaseModel):
    name: str
    sla_seconds: float


_QUEUES = TypeAdapter(list[_Queue])


@dataclass(frozen=True, slots=True)
class TasksReport:
    """Everything the report says."""

    period: Period
    targets: Mapping[str, float]
    """Seconds of queue wait by queue, the most urgent queue first."""
    queues: Metrics
    task_types: Metrics
    steps: tuple[Metrics, ...]
    """By queue, for each of ``period.steps``."""

    @classmethod
    def gather(cls, client: "Client", period: Period, on_progress: Callable[[int, int], None]) -> Self:
        """Ask the API. ``on_progress`` is told how many of how many steps are done. Raises ``ClientError``, and
        ``ControlPlaneAway`` for answers that say nothing of it.
        """
        try:
            found = _QUEUES.validate_python(client.queues.list().raw.get("items"))
        except ValidationError:
            raise ControlPlaneAway(f"{client.url} answered no queues") from None
        queues = Metrics.read(client, period.start, period.end, "queue")
        task_types = Metrics.read(client, period.start, period.end, "task_type")
        steps: list[Metrics] = []
        for start, end in period.steps:
            on_progress(len(steps), len(period.steps))
            steps.append(Metrics.read(client, start, end, "queue"))
        on_progress(len(steps), len(steps))
        targets = {queue.name: queue.sla_seconds for queue in found}
        return cls(period, targets, queues, task_types, tuple(steps))

    def ordered_queues(self) -> list[Figures]:
        """The queues that did something, the most urgent first; one that is configured no more comes last."""
        order = {name: number for number, name in enumerate(self.targets)}
        return sorted(self.queues.items, key=lambda item: (order.get(item.name, len(order)), item.name))

    def html(self, made_at: datetime) -> str:
        """The page."""
        body = [_headline(self.queues.totals)]
        if self.queues.totals.is_empty:
            body.append('<p class="empty">Nothing was recorded in this period.</p>')
        else:
            body += [self._throughput(), self._waits(), self._by_queue(), self._by_task_type()]
        return page("Throughput and SLA", "Pointsman", self.period.title, body, made_at)

    def csv(self) -> str:
        """A row for the whole period, each queue, each task type, and each step in all and by queue."""
        return csv_table.text(("scope", "name", "start", "end", *csv_table.COLUMNS), self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        whole = (self.period.start, self.period.end)
        yield _csv_row("total", self.queues.totals, *whole)
        for item in self.ordered_queues():
            yield _csv_row("queue", item, *whole)
        for item in self.task_types.items:
            yield _csv_row("task_type", item, *whole)
        for (start, end), step in zip(self.period.steps, self.steps, strict=True):
            yield _csv_row("step", step.totals, start, end)
            for item in step.items:
                yield _csv_row("step_queue", item, start, end)

    def _labels(self) -> list[str]:
        return [self.period.label(start) for start, _ in self.period.steps]

    def _throughput(self) -> str:
        totals = [step.totals for step in self.steps]
        stacks = (
            Stack("succeeded", "good", [figures.succeeded for figures in totals]),
            Stack("failed", "bad", [figures.failed for figures in totals]),
        )
        return section(
            "Throughput",
            "Tasks that ended, by when they ended.",
            legend(("good", "succeeded"), ("bad", "failed")),
            columns(self._labels(), stacks, "Tasks that succeeded and failed over the period"),
        )

    def _waits(self) -> str:
        return section(
            "Queue wait, 95th percentile",
            "From due to started, against each queue's own target. A step in which nothing started has no dot.",
            legend(("good", "within the target"), ("bad", "over it"), ("dash", "target")),
            '<div class="multiples">',
            *(self._wait_panel(item) for item in self.ordered_queues() if item.name in self.targets),
            "</div>",
        )

    def _wait_panel(self, queue: Figures) -> str:
        target = self.targets[queue.name]
        by_step = [{item.name: item for item in step.items} for step in self.steps]
        values = [step[queue.name].queue_wait_seconds.p95 if queue.name in step else None for step in by_step]
        chart = waits(self._labels(), values, target, f"95th percentile of queue wait in {queue.name}")
        whole = queue.queue_wait_seconds.p95
        return (
            f'<div class="panel"><h3>{escape(queue.name)}</h3>'
            f"<p>{seconds(whole)} in all, target {seconds(target)}</p>{chart}</div>"
        )

    def _by_queue(self) -> str:
        heads = ("Queue", "Target", *_HEADS)
        rows = [
            [escape(item.name), seconds(self.targets.get(item.name)), *_row(item)] for item in self.ordered_queues()
        ]
        return section(
            "By queue",
            "SLA: share of tasks that started within the target of their queue.",
            table(heads, rows, ["All", "", *_row(self.queues.totals)]),
        )

    def _by_task_type(self) -> str:
        heads = ("Task type", "Retries", *_HEADS)
        busiest = sorted(self.task_types.items, key=lambda item: (-item.execution_count, item.name))
        rows = [[escape(item.name), count(item.retry_count), *_row(item)] for item in busiest]
        return section("By task type", "The busiest first.", table(heads, rows))


def _row(item: Figures) -> list[str]:
    return [
        count(item.submitted),
        count(item.succeeded),
        failed_cell(item.failed, item.success_rate),
        percent(item.success_rate),
        seconds(item.queue_wait_seconds.p50),
        seconds(item.queue_wait_seconds.p95),
        seconds(item.run_seconds.p95),
        sla_cell(item.sla_attainment),
        share_bar(item.sla_attainment, "SLA attainment"),
    ]


def _headline(totals: Figures) -> str:
    return tiles(
        [
            ("Submitted", short(totals.submitted), "tasks"),
            ("Succeeded", short(totals.succeeded), "tasks"),
            ("Failed", short(totals.failed), f"{count(totals.retry_count)} attempts retried"),
            ("Success", percent(totals.success_rate), "of tasks that ended"),
            ("SLA", percent(totals.sla_attainment), f"{count(totals.sla_missed)} starts too late"),
            ("Queue wait p95", seconds(totals.queue_wait_seconds.p95), "over all queues"),
        ]
    )


def _csv_row(scope: str, figures: Figures, start: datetime, end: datetime) -> dict[str, Any]:
    stamps = {"start": start.strftime("%Y-%m-%dT%H:%MZ"), "end": end.strftime("%Y-%m-%dT%H:%MZ")}
    return {"scope": scope, "name": figures.name, **stamps, **csv_table.columns(figures)}
