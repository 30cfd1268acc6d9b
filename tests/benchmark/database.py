"""One connection to PostgreSQL for counting, from code that does nothing else meanwhile."""

import asyncio
from types import TracebackType
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]  # ships no types


class Database:
    """A context manager; every method waits for its answer."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._connection = self._runner.run(asyncpg.connect(self._dsn))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()

    def value(self, sql: str, *parameters: object) -> Any:
        """The first column of the first row."""
        return self._runner.run(self._connection.fetchval(sql, *parameters))

    def column(self, sql: str, *parameters: object) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self._runner.run(self._connection.fetch(sql, *parameters))]

    def count(self, table: str) -> int:
        """The rows of a table of ours."""
        return int(self.value(f"SELECT count(*) FROM {table}"))

    def execute(self, sql: str, *parameters: object) -> None:
        """Run one statement; several without parameters."""
        self._runner.run(self._connection.execute(sql, *parameters))
