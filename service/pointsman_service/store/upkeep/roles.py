"""Two roles in the database: that of the service, and an owner of what is kept of acts, which the service can only add
to. ``migrate`` sets them up; a database with one role for everything goes on as it is.
"""

import base64
import hashlib
import hmac
import secrets
import unicodedata

from sqlalchemy import text

from pointsman_service.store.models import Base
from pointsman_service.store.store import Connection
from pointsman_service.store.upkeep.partitions import PARTITION_PREFIX

_AUDIT = ("audit", "audit_head")
_FUNCTIONS = ("audit_part(text)", "chain_audit()", "keep_audit()", "leave_audit(timestamptz, integer)")
_WRITTEN = "act, subject, actor, caller, address, reason, request_id, counts"
"""Columns that the service gives an entry; the others are made by the database."""
_SCRAM_ROUNDS = 4096

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman roles'))")
_MAKE = text("""
    SELECT format('CREATE ROLE %I LOGIN', CAST(:role AS text)) || CASE WHEN CAST(:password AS text) IS NULL THEN ''
        ELSE format(' PASSWORD %L', CAST(:password AS text)) END
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)
""")
_JOIN = text("""
    SELECT format('GRANT %I TO %I', r.rolname, current_user) FROM pg_roles r
    WHERE r.rolname = :role AND NOT pg_has_role(current_user, r.oid, 'USAGE')
""")
_ENTER = text("""
    SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), CAST(:role AS text))
    WHERE NOT (has_schema_privilege(:role, current_schema(), 'USAGE')
        AND has_schema_privilege(:role, current_schema(), 'CREATE'))
""")
# A sequence or an index goes with its table.
_TABLES_TO_HAND_OVER = text("""
    SELECT format('ALTER TABLE %I OWNER TO %I', c.relname, CAST(:role AS text)) FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
        AND c.relowner <> CAST(CAST(:role AS text) AS regrole) AND c.relname <> ALL(CAST(:audit AS text[]))
        AND (c.relname = ANY(CAST(:ours AS text[])) OR starts_with(c.relname, :prefix))
    ORDER BY c.relname
""")
_FUNCTIONS_TO_HAND_OVER = text("""
    SELECT DISTINCT format('ALTER FUNCTION %s OWNER TO %I', p.oid::regprocedure, CAST(:role AS text))
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
        AND c.relname = ANY(CAST(:ours AS text[])) AND c.relname <> ALL(CAST(:audit AS text[]))
        AND p.proowner <> CAST(CAST(:role AS text) AS regrole)
""")
_QUOTED = text("SELECT quote_ident(CAST(:role AS text))")
_FLOOR = text("UPDATE audit_head SET kept_days = :days WHERE kept_days <> :days")
_RIGHTS = text("""
    SELECT r.rolname AS role, r.rolsuper AS superuser, pg_has_role(c.relowner, 'MEMBER') AS owner,
        pg_has_role(n.nspowner, 'MEMBER') AS owner_of_schema,
        has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(h.oid, 'UPDATE') AS update,
        has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(h.oid, 'DELETE') AS delete,
        has_table_privilege(c.oid, 'TRUNCATE') OR has_table_privilege(h.oid, 'TRUNCATE') AS truncate,
        has_table_privilege(c.oid, 'TRIGGER') OR has_table_privilege(h.oid, 'TRIGGER') AS trigger
    FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_class h
    WHERE r.rolname = current_user AND c.oid = to_regclass('audit') AND h.oid = to_regclass('audit_head')
""")
_WORDS = {
    "superuser": "is a superuser",
    "owner": "owns it",
    "owner_of_schema": "owns its schema",
    "update": "may update it",
    "delete": "may delete from it",
    "truncate": "may truncate it",
    "trigger": "may give it triggers",
}


async def prepare(connection: Connection, role: str, password: str | None) -> None:
    """As the owner, in a transaction: from now on there is the role of the service, and everything is its own but the
    audit. What is so already is left alone. A role that is made gets the password, which PostgreSQL is not told.
    """
    await connection.execute(_LOCK)
    verifier = None if password is None else scram(password, secrets.token_bytes(16))
    ours = [table.name for table in Base.metadata.sorted_tables] + ["alembic_version", "task_default"]
    for wanted, parameters in (
        (_MAKE, {"password": verifier}),
        (_JOIN, {}),
        (_ENTER, {}),
        (_TABLES_TO_HAND_OVER, {"audit": list(_AUDIT), "ours": ours, "prefix": PARTITION_PREFIX}),
        (_FUNCTIONS_TO_HAND_OVER, {"audit": list(_AUDIT), "ours": ours}),
    ):
        for statement in (await connection.execute(wanted, {"role": role} | parameters)).scalars().all():
            await connection.exec_driver_sql(statement)


async def settle(connection: Connection, role: str, kept_days: float) -> None:
    """As the owner, in a transaction: the audit is its own, and the role of the service may read it, add to it, and let
    leave what is older than so many days.
    """
    await connection.execute(_LOCK)
    name = (await connection.execute(_QUOTED, {"role": role})).scalar_one()
    tables = ", ".join(_AUDIT)
    for statement in (
        *(f"ALTER TABLE {table} OWNER TO CURRENT_USER" for table in _AUDIT),
        *(f"ALTER FUNCTION {function} OWNER TO CURRENT_USER" for function in _FUNCTIONS),
        f"REVOKE ALL ON {tables} FROM {name}, PUBLIC",
        f"GRANT SELECT ON {tables} TO {name}",
        f"GRANT INSERT ({_WRITTEN}) ON audit TO {name}",
        f"GRANT EXECUTE ON FUNCTION leave_audit(timestamptz, integer) TO {name}",
    ):
        await connection.exec_driver_sql(statement)
    await connection.execute(_FLOOR, {"days": kept_days})


async def rights(connection: Connection) -> tuple[str, tuple[str, ...]]:
    """Our role, and by what it could change the audit, in words; by nothing, where there is none yet."""
    row = (await connection.execute(_RIGHTS)).mappings().one_or_none()
    if row is None:
        return "", ()
    found = tuple(words for name, words in _WORDS.items() if row[name])
    # The rest follows from these.
    return row["role"], found[:1] if row["superuser"] or row["owner"] else found


def scram(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (RFC 5802), so that it stands in no statement and no log of the server."""
    salted = hashlib.pbkdf2_hmac("sha256", unicodedata.normalize("NFKC", password).encode(), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = [base64.b64encode(value).decode() for value in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{told[0]}${told[1]}:{told[2]}"
