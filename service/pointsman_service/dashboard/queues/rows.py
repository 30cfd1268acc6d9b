"""What is told of each queue: its figures, and what the first page says of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pointsman_service.dashboard.asking import Ask
from pointsman_service.errors import UnknownQueueName
from pointsman_service.now.picture import QueueLine, QueueState
from pointsman_service.observe.queues import QueueFigures


@dataclass(frozen=True)
class Row:
    """One queue."""

    figures: QueueFigures
    line: QueueLine | None
    """As the first page has it, some seconds old; None: it does not know it now."""

    @property
    def name(self) -> str:
        """Of the queue."""
        return self.figures.name

    @property
    def state(self) -> str:
        """In a word; that it was paused or resumed is known at once."""
        if self.figures.paused:
            return QueueState.PAUSED
        if self.line is None:
            return QueueState.UNKNOWN
        return QueueState.OK if self.line.state is QueueState.PAUSED else self.line.state

    @property
    def state_reason(self) -> str | None:
        """More of it, where there is more to say."""
        if self.figures.paused:
            why = f": {self.figures.pause_reason}" if self.figures.pause_reason else ""
            return f"by {self.figures.paused_by}{why}"
        return None if self.line is None or self.line.state is QueueState.PAUSED else self.line.state_reason

    @property
    def held(self) -> int:
        """Tasks that are held back."""
        return self.figures.states.get("held", 0)

    @property
    def burn_of_hour(self) -> float | None:
        """Times the even rate of its error budget; None where nothing started or it is not known."""
        rates = {} if self.figures.sla is None else {one.window_seconds: one.rate for one in self.figures.sla.burn}
        return rates.get(3600.0)


@dataclass(frozen=True)
class Rows:
    """All queues, the most urgent first."""

    rows: Sequence[Row]
    missing: Sequence[str]
    """What is not known now, as sentences."""


async def rows_of(ask: Ask) -> Rows:
    """Every queue. Raises the store's errors; the broker may be away."""
    reads = ask.caller.reads_payloads
    figures, now = await asyncio.gather(ask.parts.views.queues.read(), ask.parts.now.read(reads_payloads=reads))
    lines = {line.name: line for line in now.queues}
    return Rows([Row(one, lines.get(one.name)) for one in figures], [one.why for one in now.unknown])


async def row_of(ask: Ask) -> tuple[Row, Sequence[str]]:
    """The queue that the path names, and what is not known now. Raises ``UnknownQueueName``."""
    found = await rows_of(ask)
    name = ask.names["name"]
    row = next((one for one in found.rows if one.name == name), None)
    if row is None:
        names = ", ".join(one.name for one in found.rows)
        raise UnknownQueueName(f"There is no such queue; the queues are {names}.")
    return row, found.missing
