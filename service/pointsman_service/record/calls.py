"""What an ended attempt means for the circuit breakers that it belongs to."""

from collections.abc import Iterator, Mapping, Sequence

from pointsman_contract.clean_text import clean
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE, folded_key, key_of
from pointsman_contract.events import EventKind, OutcomeBody
from pointsman_contract.sealing import hidden
from pointsman_service.breaker.breaker import Kind, Outcome
from pointsman_service.breaker.last_error import Said
from pointsman_service.breaker.registry import Called
from pointsman_service.record.events import Event
from pointsman_service.store.listeners import Ends
from pointsman_service.store.store import Connection


def calls_of(event: Event, body: OutcomeBody) -> Iterator[Called]:
    """One call for each breaker that is told of a ``succeeded`` or ``failed`` event; none of a worker that knew of no
    breakers.
    """
    breakers = body.get("breakers") or {}
    if event.late:
        return
    succeeded = event.kind is EventKind.SUCCEEDED
    blamed, answered = body.get("blamed") or (), body.get("answered") or ()
    names = tuple(map(clean, body.get("error_classes") or ()))
    error = body.get("error")
    said = None if error is None else Said(clean(error["type"]), hidden(clean(error["message"])))
    for breaker, epoch in breakers.items():
        key = folded_key(*key_of(clean(breaker)))
        if key[0] not in (TASK_TYPE, DEPENDENCY) or not key[1]:
            # The database would refuse it, and the whole event with it.
            continue
        if succeeded or (breaker in answered and breaker not in blamed):
            kind = Kind.SUCCESS
        else:
            # A probe that says nothing of this breaker gives its permit back.
            kind = Kind.FAILURE if breaker in blamed else Kind.IGNORED
        outcome = Outcome(
            kind,
            epoch=epoch,
            # A probe's permit is named by its task.
            permit=event.task,
            run_seconds=body["run_seconds"],
            error=names if kind is Kind.FAILURE else (),
            said=said if kind is Kind.FAILURE else None,
            is_first=event.attempt == 1,
        )
        yield Called(event.task, key, outcome, event.at.timestamp())


class CallsOfBreakers:
    """Gathers what a batch says of circuit breakers, by task: of those whose attempt ended in it."""

    def __init__(self, calls: Mapping[str, Sequence[Called]]) -> None:
        self._calls = calls
        self.told: list[Called] = []

    async def ended(self, connection: Connection, ends: Ends) -> None:  # noqa: ARG002 - as every listener
        """An attempt that met an open breaker says nothing of any."""
        ended = {one.moved.id for one in (*ends.tasks, *ends.retried)}
        ended |= {one.moved.id for one in ends.interrupted if one.end.breaker is None}
        self.told += [called for task, calls in self._calls.items() if task in ended for called in calls]
