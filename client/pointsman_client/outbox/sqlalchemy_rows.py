"""The rows of an outbox, as a relay asks for them through SQLAlchemy."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, Table, Update, and_, bindparam, case, delete, func, or_, select, update
from sqlalchemy.engine import Connection, Engine, RowMapping
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from pointsman_client.outbox.rows import RETRIED, DatabaseAway, Listed, Row, RowState, Values, picked

_LOCKING = ("postgresql", "mysql", "mariadb", "oracle")
"""Databases where rows that others are about to claim are passed over. In the others one claims after the other."""
_GAPS = ("mysql", "mariadb")
_WAITING, _SENT, _REFUSED = (state.value for state in (RowState.WAITING, RowState.SENT, RowState.REFUSED))


class SqlRows:
    """Those of one table, through connections of ``engine``."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine, self._table, self._columns = engine, table, table.c
        self._locks = engine.dialect.name in _LOCKING
        # Its default locks the gaps between rows, too: an application that writes one would wait for relays, or be
        # rolled back to let them pass.
        self._options = {"isolation_level": "READ COMMITTED"} if engine.dialect.name in _GAPS else {}

    def claim(self, token: str, most: int, now: datetime, until: datetime) -> list[Row]:
        """See ``Rows``. Where nothing is locked, whoever writes first has a row, and the other does without."""
        columns = self._columns
        with self._connected() as connection:
            found = self._due(connection, most, now)
            if not self._locks:
                connection.rollback()
            if not found:
                return []
            mine = columns.id.in_(found)
            connection.execute(
                update(self._table)
                .where(mine, columns.state == _WAITING, or_(columns.next_at.is_(None), columns.next_at <= now))
                # In this order: MySQL sees what is set before.
                .ordered_values(
                    (columns.doubtful_since, case(
                        (columns.claim.is_(None), columns.doubtful_since),
                        else_=func.coalesce(columns.doubtful_since, columns.claimed_at),
                    )),
                    (columns.claim, token),
                    (columns.claimed_at, now),
                    (columns.next_at, until),
                )
            )  # fmt: skip
            claimed = connection.execute(
                select(self._table).where(mine, columns.claim == token).order_by(columns.id)
            ).mappings()
            rows = [_row(one) for one in claimed]
            connection.commit()
        return rows

    def _due(self, connection: Connection, most: int, now: datetime) -> list[int]:
        columns = self._columns

        def ids(when: ColumnElement[bool], *order: Any) -> list[int]:
            asked = select(columns.id).where(columns.state == _WAITING, when).order_by(*order, columns.id).limit(most)
            asked = asked.with_for_update(skip_locked=True) if self._locks else asked
            return list(connection.execute(asked).scalars())

        return picked(ids(columns.next_at <= now, columns.next_at), ids(columns.next_at.is_(None)), most)

    def settle(self, token: str, changed: Mapping[int, Values], gone: Sequence[int]) -> None:
        """See ``Rows``."""
        columns = self._columns
        with self._connected() as connection:
            if gone:
                connection.execute(delete(self._table).where(columns.id.in_(gone), columns.claim == token))
            if changed:
                statement = update(self._table).where(
                    columns.id == bindparam("of_id"), columns.claim == bindparam("of_claim")
                )
                connection.execute(
                    statement, [{**values, "of_id": row, "of_claim": token} for row, values in changed.items()]
                )
            connection.commit()

    def sweep(self, now: datetime, most: int) -> int:
        """See ``Rows``."""
        columns = self._columns
        is_over = and_(columns.state == _SENT, columns.next_at <= now)
        with self._connected() as connection:
            found = list(connection.execute(select(columns.id).where(is_over).limit(most)).scalars())
            if found:
                connection.execute(delete(self._table).where(columns.id.in_(found), is_over))
                connection.commit()
        return len(found)

    def refused(self, most: int) -> list[Listed]:
        """See ``Rows``."""
        asked = select(self._table).where(self._columns.state == _REFUSED).order_by(self._columns.id).limit(most)
        with self._connected() as connection:
            return [listed_of(found) for found in connection.execute(asked).mappings()]

    def retry(self, ids: Sequence[int] | None) -> int:
        """See ``Rows``."""
        return self._act(update(self._table).values(RETRIED), ids)

    def drop(self, ids: Sequence[int] | None) -> int:
        """See ``Rows``."""
        return self._act(delete(self._table), ids)

    def _act(self, act: Update | Delete, ids: Sequence[int] | None) -> int:
        act = act.where(self._columns.state == _REFUSED)
        with self._connected() as connection:
            done = connection.execute(act if ids is None else act.where(self._columns.id.in_(ids)))
            connection.commit()
        return done.rowcount

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection.execution_options(**self._options)
        except (DBAPIError, NoConnectionLeft) as error:
            # What it says of the statement has the arguments of tasks in it.
            raise DatabaseAway(str(getattr(error, "orig", None) or error).strip()) from None


def _row(found: RowMapping) -> Row:
    return Row(
        found["id"], found["key"], found["task_type"], found["body"].encode(), found["tries"],
        _aware(found["doubtful_since"]),
    )  # fmt: skip


def listed_of(found: RowMapping) -> Listed:
    """A row as people see it."""
    return Listed(
        found["id"],
        found["key"],
        found["task_type"],
        RowState(found["state"]),
        _aware(found["submitted_at"]) or datetime.min.replace(tzinfo=UTC),
        found["tries"],
        found["task_id"],
        json.loads(found["problem"]) if found["problem"] else None,
    )


def _aware(at: datetime | None) -> datetime | None:
    """A moment of a database that knows none but UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
