"""Keeps what the alerts looked at: QueueMetrics and WorkerMetrics, from the same facts and by the same leader.

What nobody saw leaves no row. Who dies loses the samples of a few seconds; the figures of the minute are of the others.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pointsman_contract.server_words import server_words
from pointsman_service.alert.facts import Facts, PoolFacts, QueueFacts
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.history import Flow, Of, Sampled
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_WRITE_SECONDS = 10.0
_MOST_MINUTES = 30
"""So many are kept while they cannot be written."""
_ANCHOR_SECONDS = 300.0
"""What came and went is summed from an anchor that is moved so often: a few minutes of counters."""
_Key = tuple[datetime, Of, str, str]


@dataclass(slots=True)
class _Samples:
    """The samples of one figure within one minute."""

    values: list[float] = field(default_factory=list)
    at: float = 0.0

    def row(self, name: str, figure: str, minute: datetime) -> Sampled:
        """As it is written down."""
        values = self.values
        at = datetime.fromtimestamp(self.at, UTC)
        return Sampled(name, figure, minute, len(values), sum(values), min(values), max(values), values[-1], at)


class Sampler:
    """For one leader. Two at once do no harm: there are more samples of the same minute."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._samples: dict[_Key, _Samples] = {}
        self._write_at = 0.0
        self._anchor: float | None = None
        self._flow: dict[str, Flow] = {}
        self._flow_at = 0.0

    async def take(self, facts: Facts) -> None:
        """Take one sample of everything that is known, and write down what has come together every ten seconds.

        Never raises because the database is away: the samples are kept for a while.
        """
        for queue in facts.queues or ():
            for figure, value in _of_queue(queue).items():
                self._add(facts.now, "queue", queue.name, figure, value)
        for pool in facts.pools or ():
            for figure, value in _of_pool(pool).items():
                self._add(facts.now, "pool", pool.name, figure, value)
        if facts.now >= self._write_at:
            # Also when it fails.
            self._write_at = facts.now + _WRITE_SECONDS
            try:
                await self._look_at_flow(facts)
                await self._write()
            except (DatabaseAway, ExpectedFault) as error:
                log.info("samples of queues and workers are not written down now", reason=server_words(error))
                self._forget_the_oldest()

    def _add(self, now: float, of: Of, name: str, figure: str, value: float | None) -> None:
        if value is None:
            return
        minute = datetime.fromtimestamp(now // 60 * 60, UTC)
        samples = self._samples.setdefault((minute, of, name, figure), _Samples())
        samples.values.append(float(value))
        samples.at = now

    async def _look_at_flow(self, facts: Facts) -> None:
        """How much came and went since the last look, a second."""
        anchor = facts.now if self._anchor is None else self._anchor
        async with self._store.statement() as connection:
            now = await history.flow(connection, datetime.fromtimestamp(anchor, UTC))
        seconds = facts.now - self._flow_at
        if self._anchor is not None and seconds > 0:
            for queue in facts.queues or ():
                flow, before = (found.get(queue.name, Flow(0, 0)) for found in (now, self._flow))
                for figure, moved in (
                    ("arrival_rate", flow.submitted - before.submitted),
                    ("service_rate", flow.executions - before.executions),
                ):
                    self._add(facts.now, "queue", queue.name, figure, max(0, moved) / seconds)
        if facts.now - anchor > _ANCHOR_SECONDS:
            anchor = facts.now
            async with self._store.statement() as connection:
                now = await history.flow(connection, datetime.fromtimestamp(anchor, UTC))
        self._anchor, self._flow, self._flow_at = anchor, now, facts.now

    async def _write(self) -> None:
        by_kind: dict[Of, list[Sampled]] = {"queue": [], "pool": []}
        for (minute, of, name, figure), samples in self._samples.items():
            by_kind[of].append(samples.row(name, figure, minute))
        async with self._store.transaction() as connection:
            for of, rows in by_kind.items():
                await history.add(connection, of, rows)
        self._samples = {}

    def _forget_the_oldest(self) -> None:
        kept = sorted({key[0] for key in self._samples})[-_MOST_MINUTES:]
        self._samples = {key: samples for key, samples in self._samples.items() if key[0] in kept}


def _of_queue(queue: QueueFacts) -> dict[str, float | None]:
    """By figure (``history.QUEUE_FIGURES``), but for the rates."""
    return {
        "depth": queue.depth,
        "waiting": queue.waiting,
        "on_broker": queue.on_broker,
        "running": queue.running,
        "held": queue.held,
        "oldest_wait_seconds": queue.oldest_seconds or 0.0,
        "consumers": queue.consumers,
        "window": queue.window,
    }


def _of_pool(pool: PoolFacts) -> dict[str, float | None]:
    """By figure (``history.WORKER_FIGURES``)."""
    return {
        "processes": pool.processes,
        "busy": pool.busy,
        "utilization": min(1.0, pool.busy / pool.processes) if pool.processes else None,
    }
