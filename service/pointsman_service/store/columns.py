"""The columns of a task, read from the models: whatever lists them in SQL takes them from here."""

from typing import Any, cast

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql.base import PGDialect

from pointsman_service.store.models import FinishedTask, LiveTask
from pointsman_service.store.models.tasks import SUBMITTED_AS, SubmittedAs

_DIALECT = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves its constructor untyped
_SHORT = {"TIMESTAMP WITH TIME ZONE": "timestamptz", "DOUBLE PRECISION": "float8"}
_LIVE, _FINISHED = cast(Table, LiveTask.__table__).columns, cast(Table, FinishedTask.__table__).columns
_COLUMNS = {column.name: column for column in (*_FINISHED, *_LIVE)}


def _kind(column: Column[Any]) -> str:
    written = column.type.compile(_DIALECT)
    return _SHORT.get(written, written.lower())


LIVE = tuple(column.name for column in _LIVE)
"""The columns of ``task_live``."""
FINISHED = tuple(column.name for column in _FINISHED)
"""The columns of ``task``."""
KINDS = {name: _kind(column) for name, column in _COLUMNS.items()}
"""The PostgreSQL type of each column of a task."""
SUBMITTED: dict[str, SubmittedAs] = {
    name: _COLUMNS[name].info[SUBMITTED_AS] for name in LIVE if SUBMITTED_AS in _COLUMNS[name].info
}
"""The columns that a submission fills, and how. All others begin with their default."""


def _blank(column: Column[Any]) -> Any:
    default = getattr(column.server_default, "arg", None)
    written = str(default)
    return column.type.python_type(written) if default is not None and written.isdigit() else None


BLANK = {name: _blank(_COLUMNS[name]) for name in LIVE}
"""A row of ``task_live`` before anything is said of it. Moments whose default is now() are None."""
