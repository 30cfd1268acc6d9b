"""Whether a database has everything that the models need, whatever revision it says it is at."""

from sqlalchemy import text
from sqlalchemy.dialects.postgresql.base import PGDialect

from pointsman_service.store.models import Base
from pointsman_service.store.store import Connection

_DIALECT = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves its constructor untyped

# Some 400 rows of the system catalogues, in milliseconds. An index of a partitioned table is not valid while a day is
# without: lists are slower then, and nothing is wrong.
_THERE = text("""
    WITH ours AS (
        SELECT name, to_regclass(quote_ident(name)) AS oid FROM unnest(CAST(:tables AS text[])) AS t (name)
    )
    SELECT 'column' AS kind, o.name AS of, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
    FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'index', o.name, c.relname, '' FROM ours o JOIN pg_index i ON i.indrelid = o.oid
    JOIN pg_class c ON c.oid = i.indexrelid AND (i.indisvalid OR c.relkind = 'I')
    UNION ALL
    SELECT 'constraint', o.name, c.conname, '' FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid
""")


async def lacking(connection: Connection) -> list[str]:
    """What the models need and the database does not have, in words: columns with their types, and indexes and
    constraints by their names. What a newer release added is no fault.
    """
    tables = Base.metadata.sorted_tables
    rows = (await connection.execute(_THERE, {"tables": [table.name for table in tables]})).all()
    types = {(row.of, row.name): row.type for row in rows if row.kind == "column"}
    named = {(row.of, row.name) for row in rows if row.kind != "column"}
    found: list[str] = []
    for table in tables:
        if not any(of == table.name for of, _ in types):
            found.append(f"the table {table.name}")
            continue
        for column in table.columns:
            wanted = column.type.compile(_DIALECT).lower()
            there = types.get((table.name, column.name))
            if there is None:
                found.append(f"{table.name}.{column.name}")
            elif there != wanted:
                found.append(f"{table.name}.{column.name} as {wanted} ({there})")
        names = [*(index.name for index in table.indexes), *(rule.name for rule in table.constraints)]
        found += [f"{name}" for name in names if name is not None and (table.name, str(name)) not in named]
    return found
