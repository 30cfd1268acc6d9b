"""Columns that go to PostgreSQL as arrays come out as the rows that they were."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from pointsman_service.store.arrays import column_of, mostly_equal_columns
from pointsman_service.store.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {"id": "uuid", "name": "text", "number": "float8", "at": "timestamptz"}


@pytest.mark.parametrize(
    "rows",
    [
        [("a", 1.0, NOW)],
        [(None, None, None)],
        [("a", 1.0, NOW)] * 3,
        [(None, None, None)] * 3,
        [("a", None, None), (None, 1.0, None), (None, None, NOW)],
        [("a", 1.0, NOW), ("b", 2.0, None), ("a", 1.0, NOW)],
        [("", 0.0, None), ("", 0.0, None)],
    ],
)
async def test_rows_are_the_same_whether_their_values_are_equal_missing_or_neither(
    store: Store, rows: list[tuple[Any, ...]]
) -> None:
    given = [(UUID(int=place), *row) for place, row in enumerate(rows)]
    parameters = {name: column_of([row[place] for row in given]) for place, name in enumerate(KINDS)}
    parameters["id"] = [row[0] for row in given]
    async with store.statement() as connection:
        found = await connection.execute(
            text(f"SELECT * FROM {mostly_equal_columns(KINDS, of='id')} ORDER BY id"), parameters
        )
    assert [tuple(row) for row in found] == given
