"""What ended attempts say of the workers that ran them."""

from collections.abc import Iterable, Mapping

from contract.errors import NOBODYS
from contract.states import TaskState
from service.store.outcomes import Part, Sum, bucket_of
from service.store.reported import End, Moved


def by_worker(moved: Iterable[Moved], ends: Mapping[str, End]) -> dict[Part, Sum]:
    """Calls and failures of each worker and task type, from the rows that moved and what moved them."""
    sums: dict[Part, Sum] = {}
    for row in moved:
        end = ends[row.id]
        if end.worker is None or end.state not in ("succeeded", "failed"):
            continue
        failed = end.state == "failed"
        if failed and (end.error_type in NOBODYS or row.state == TaskState.CANCELLED):
            continue
        found = sums.setdefault((bucket_of(end.finished_at), end.worker, row.task_type), Sum())
        found.calls += 1
        found.failures += failed
    return sums
