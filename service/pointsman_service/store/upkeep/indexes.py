"""Indexes of ended tasks that a migration has left to be built: on each day by itself, without stopping who writes."""

from dataclasses import dataclass

from sqlalchemy import TextClause, text

from pointsman_service.store.store import Connection

# Of an index that is not valid some day has none that belongs to it.
_LACKING = text("""
    SELECT p.relname AS day, i.relname AS of, pg_get_indexdef(i.oid) AS definition, pg_relation_size(p.oid) AS bytes
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_inherits h ON h.inhparent = x.indrelid JOIN pg_class p ON p.oid = h.inhrelid
    WHERE x.indrelid = 'task'::regclass AND NOT x.indisvalid AND NOT EXISTS (
        SELECT FROM pg_inherits a JOIN pg_index b ON b.indexrelid = a.inhrelid
        WHERE a.inhparent = i.oid AND b.indrelid = p.oid)
    ORDER BY p.relname DESC, i.relname
""")
# Session-wide: what is built beside others is built in no transaction.
_LOCK = text("SELECT pg_try_advisory_lock(hashtext('pointsman indexes'))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtext('pointsman indexes'))")
_PATIENCE = text("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")


@dataclass(frozen=True, slots=True)
class LackingIndex:
    """An index that a day of ``task`` does not have yet."""

    day: str
    """The name of its table."""
    index: str
    definition: str
    """From ``USING`` on."""
    bytes: int
    """Of the rows that it is to be built on."""

    @property
    def name(self) -> str:
        """What it is to be called."""
        return f"{self.day}_{self.index.removeprefix('ix_task_')}"


async def lacking_indexes(connection: Connection) -> list[LackingIndex]:
    """What is to be built, the newest days first."""
    rows = (await connection.execute(_LACKING)).all()
    return [LackingIndex(row.day, row.of, f"USING{row.definition.partition(' USING')[2]}", row.bytes) for row in rows]


async def take_turn(connection: Connection) -> bool:
    """Whether nobody else builds now. Until ``give_back`` nobody does, and no statement here is bounded in time."""
    await connection.execute(_PATIENCE)
    return bool((await connection.execute(_LOCK)).scalar_one())


async def give_back(connection: Connection) -> None:
    """Let others build."""
    await connection.execute(_UNLOCK)


async def build(connection: Connection, lacking: LackingIndex) -> None:
    """Build one, and let it belong to the index of ``task``. On a connection without a transaction.

    Recording and reading go on meanwhile. What an earlier one that died has left is built anew.
    """
    for statement in building(lacking):
        await connection.execute(statement)


def building(lacking: LackingIndex) -> tuple[TextClause, ...]:
    """The statements of ``build``, in order. Names and definition are the database's own."""
    return (
        text(f"DROP INDEX CONCURRENTLY IF EXISTS {lacking.name}"),
        text(f"CREATE INDEX CONCURRENTLY {lacking.name} ON {lacking.day} {lacking.definition}"),
        text(f"ALTER INDEX {lacking.index} ATTACH PARTITION {lacking.name}"),
    )
