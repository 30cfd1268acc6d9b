"""What the attempts of a task wrote, line by line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from pydantic_core import from_json

from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import run_logs
from pointsman_service.store.tasks.run_logs import StoredLines, Written

_ROWS = 64
"""Of which none has many more than 16 KiB."""


class Position(NamedTuple):
    """Where somebody who reads lines as they come in has arrived: after this one."""

    row: int
    number: int

    def __str__(self) -> str:
        return f"{self.row}.{self.number}"

    @classmethod
    def of(cls, text: str) -> "Position":
        """From what ``str`` gave. Raises ``ValueError``."""
        row, _, number = text.partition(".")
        return cls(int(row), int(number))


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. ``logger``, ``text``: what its task wrote, as its result is, and for nobody who may not see that."""

    position: Position
    attempt: int
    number: int
    """Among all lines that its attempt wrote, from 1. Numbers that are missing are lines that went."""
    at: datetime
    """By the worker's clock."""
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines, in the order in which they came in, and what is known of their attempts."""

    lines: Sequence[LogLine]
    following: bool
    """Whether there are more already."""
    position: Position
    """After the last of them: where to go on now or later."""
    attempts: Sequence[Written]
    """Those of the lines, and the one that was asked for."""


def lines_of(row: StoredLines, after: Position = START) -> Iterator[LogLine]:
    """The lines of a row that come after a position."""
    for number, (at, level, logger, text) in enumerate(from_json(row.lines), row.first_line):
        if row.id > after.row or number > after.number:
            moment = datetime.fromtimestamp(at, UTC)
            yield LogLine(Position(row.id, number), row.attempt, number, moment, level, logger, text)


def all_lines(rows: Iterable[StoredLines], after: Position = START) -> Iterator[LogLine]:
    """The lines of rows in the order of their ids, but for those up to a position."""
    for row in rows:
        yield from lines_of(row, after)


async def page_of(
    connection: Connection, task: UUID, attempt: int | None, newest_attempt: int, after: Position, limit: int
) -> LogPage:
    """At most ``limit`` lines of a task, or of one of its attempts, after a position. ``newest_attempt``: what its row
    says.
    """
    rows = await run_logs.page(connection, task, attempt, after.row, _ROWS)
    lines: list[LogLine] = []
    for line in all_lines(rows, after):
        if len(lines) == limit:
            following = True
            break
        lines.append(line)
    else:
        following = len(rows) == _ROWS
    told = {line.attempt for line in lines} | {newest_attempt if attempt is None else attempt}
    written = await run_logs.written(connection, task, told)
    return LogPage(lines, following, lines[-1].position if lines else after, written)
