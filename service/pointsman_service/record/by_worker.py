"""What ended attempts say of the workers that ran them."""

from collections.abc import Iterable

from pointsman_contract.errors import NOBODYS
from pointsman_contract.states import TaskState
from pointsman_service.store.breakers import outcomes
from pointsman_service.store.breakers.outcomes import Part, Sum, bucket_of
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.store import Connection


class OutcomesByWorker:
    """Counts calls and failures of each worker and task type, to tell one that fails more than its peers."""

    async def ended(self, connection: Connection, ends: Ends) -> None:
        """One upsert for all."""
        await outcomes.add(connection, _sums((*ends.retried, *ends.tasks)))


def _sums(ended: Iterable[Ended]) -> dict[Part, Sum]:
    sums: dict[Part, Sum] = {}
    for one in ended:
        end = one.end
        if end.worker is None or end.state not in ("succeeded", "failed"):
            continue
        failed = end.state == "failed"
        if failed and (end.error_type in NOBODYS or one.moved.state == TaskState.CANCELLED):
            continue
        found = sums.setdefault((bucket_of(end.finished_at), end.worker, one.moved.task_type), Sum())
        found.calls += 1
        found.failures += failed
    return sums
