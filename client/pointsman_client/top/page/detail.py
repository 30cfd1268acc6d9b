"""One thing, with all that is known of it, as lines to read."""

from collections.abc import Callable, Iterator
from datetime import datetime

from pointsman_client.top.page.row import Row
from pointsman_client.top.page.sheet import Sheet
from pointsman_client.top.page.working import breaker_sheet, queue_sheet, task_sheet, worker_sheet
from pointsman_client.top.page.wrong import alert_sheet, cause_sheet, error_sheet
from pointsman_client.top.pen import Pen, Style
from pointsman_client.top.seen import Seen
from pointsman_client.top.targets import Kind, Target

_SHEETS: dict[Kind, Callable[[Sheet, Target, Seen], Iterator[Row]]] = {
    Kind.CAUSE: cause_sheet,
    Kind.TASK: task_sheet,
    Kind.QUEUE: queue_sheet,
    Kind.WORKER: worker_sheet,
    Kind.BREAKER: breaker_sheet,
    Kind.ERROR: error_sheet,
    Kind.ALERT: alert_sheet,
}


def detail_rows(target: Target, seen: Seen, width: int, pen: Pen, at: datetime) -> list[Row]:
    """All of it, as far as it has been answered; what could not be asked stands first. A list of tasks is none."""
    sheet = Sheet(width, pen, at)
    faults = [fault for path in target.paths if (fault := seen.fault(path))]
    rows = [row for fault in faults for row in sheet.text(fault, Style.BAD)]
    rows += _SHEETS[target.kind](sheet, target, seen)
    return rows or list(sheet.text("asking …", Style.DIM))
