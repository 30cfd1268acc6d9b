"""Triggers that watch every move of every row: what no query afterwards could see any more."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_contract.states import LEGAL_MOVES

_TABLE = """
    CREATE UNLOGGED TABLE audit_violation (at timestamptz DEFAULT clock_timestamp(), task_id uuid, what text)
"""
_LIVE = """
    CREATE FUNCTION audit_live() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF EXISTS (SELECT FROM task WHERE id = NEW.id) THEN
                INSERT INTO audit_violation (task_id, what) VALUES (NEW.id, 'a finished task came back');
            END IF;
            RETURN NULL;
        END IF;
        IF NEW.attempt < OLD.attempt THEN
            INSERT INTO audit_violation (task_id, what)
            VALUES (NEW.id, format('attempt %s became %s', OLD.attempt, NEW.attempt));
        END IF;
        IF NEW.dispatch < OLD.dispatch THEN
            INSERT INTO audit_violation (task_id, what)
            VALUES (NEW.id, format('dispatch %s became %s', OLD.dispatch, NEW.dispatch));
        END IF;
        IF NEW.state <> OLD.state AND NOT (OLD.state, NEW.state) IN (VALUES {moves}) THEN
            INSERT INTO audit_violation (task_id, what) VALUES (NEW.id, format('%s became %s', OLD.state, NEW.state));
        END IF;
        RETURN NULL;
    END $$
"""
_FINISHED = """
    CREATE FUNCTION audit_finished() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF (SELECT count(*) FROM task WHERE id = NEW.id) > 1 THEN
                INSERT INTO audit_violation (task_id, what) VALUES (NEW.id, 'a task ended twice');
            END IF;
            RETURN NULL;
        END IF;
        INSERT INTO audit_violation (task_id, what) VALUES (OLD.id, format('a finished task met %s', TG_OP));
        RETURN NULL;
    END $$
"""
_TRIGGERS = (
    "CREATE TRIGGER audit AFTER INSERT OR UPDATE ON task_live FOR EACH ROW EXECUTE FUNCTION audit_live()",
    "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON task FOR EACH ROW EXECUTE FUNCTION audit_finished()",
)


async def install(connection: AsyncConnection) -> None:
    """Watch a migrated database from now on."""
    moves = ", ".join(f"('{old}', '{new}')" for old, following in LEGAL_MOVES.items() for new in following)
    for statement in (_TABLE, _LIVE.replace("{moves}", moves), _FINISHED, *_TRIGGERS):
        await connection.execute(text(statement))


async def violations(connection: AsyncConnection) -> list[str]:
    """Every illegal move so far."""
    rows = await connection.execute(text("SELECT task_id, what FROM audit_violation ORDER BY at LIMIT 20"))
    return [f"{row.task_id}: {row.what}" for row in rows]
