"""The service under a role that does not own the audit: everything goes on, and nothing that is kept of acts can be
changed, by whatever statement.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine

from pointsman_service.console.audit import show_verdict
from pointsman_service.console.doctor.examination import examine
from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import USER, PostgresServer
from pointsman_service.observe.audit import Verdict, verify
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import audit
from pointsman_service.store.store import RowRefused, StatementRefused, Store
from pointsman_service.store.upkeep.partitions import ensure_partitions
from pointsman_service.store.upkeep.roles import rights, scram
from pointsman_service.store.upkeep.schema import Owner, migrate
from tests.integration.access.test_audit import acted
from tests.integration.spine import Spine

OLD = "INSERT INTO audit (at, act, subject, actor, caller) VALUES (now() - interval '{} days', 'x', '{}', 'a', 'c')"
NEVER = (
    "UPDATE audit SET reason = 'another'",
    "UPDATE audit_head SET entries = 0, hash = ''",
    "UPDATE audit_head SET kept_days = 0",
    "DELETE FROM audit",
    "WITH s AS (SELECT set_config('pointsman.audit_leaves', 'by age', false)) DELETE FROM audit",
    "DELETE FROM audit_head",
    "TRUNCATE audit",
    "LOCK TABLE audit IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE audit DISABLE TRIGGER USER",
    "ALTER TABLE audit RENAME TO elsewhere",
    "ALTER TABLE audit OWNER TO CURRENT_USER",
    "DROP TABLE audit",
    "DROP TABLE audit_head",
    "DROP SCHEMA public CASCADE",
    "DROP TRIGGER keep ON audit",
    "CREATE TRIGGER mine BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION number_api_key()",
    "CREATE RULE mine AS ON INSERT TO audit DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON queue_pause FOR EACH ROW EXECUTE FUNCTION chain_audit()",
    "DROP FUNCTION keep_audit() CASCADE",
    "CREATE OR REPLACE FUNCTION audit_part(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'x' $$",
    "CREATE OR REPLACE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
    "ALTER FUNCTION chain_audit() SECURITY INVOKER",
    "SET session_replication_role = replica",
    f"SET ROLE {USER}",
    "INSERT INTO audit (at, act, subject, actor, caller) VALUES (now() - interval '1 day', 'x', 'y', 'a', 'c')",
    "INSERT INTO audit (number, act, subject, actor, caller) VALUES (1, 'x', 'y', 'a', 'c')",
    "INSERT INTO audit (id, act, subject, actor, caller) OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'y', 'a', 'c')",
)


class Roles:
    """A database whose owner is no superuser, and the service's role, which is not made yet."""

    def __init__(self, postgres: PostgresServer) -> None:
        mark = uuid4().hex[:10]
        self.owner, self.service, self.database = f"owner_{mark}", f"service_{mark}", f"test_{mark}"
        self.server = postgres

    def url(self, user: str) -> str:
        return self.server.url_of(self.database).replace(f"//{USER}@", f"//{user}@")

    async def run(self, *statements: str, database: str = "postgres") -> None:
        engine = create_async_engine(self.server.url_of(database), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
        await engine.dispose()


@pytest.fixture
async def roles(postgres: PostgresServer) -> AsyncIterator[Roles]:
    postgres.start()
    made = Roles(postgres)
    await made.run(f"CREATE ROLE {made.owner} LOGIN CREATEROLE", f"CREATE DATABASE {made.database} OWNER {made.owner}")
    yield made
    await made.run(
        f"DROP DATABASE {made.database} WITH (FORCE)",
        f"DROP ROLE IF EXISTS {made.service}",
        f"DROP ROLE {made.owner}",
    )


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(create_engine(Settings(database_url=SecretStr(url)), "test"))
    try:
        yield store
    finally:
        await store.close()


async def tried(store: Store, statement: str) -> None:
    async with store.transaction() as connection:
        await connection.exec_driver_sql(statement)


async def test_the_service_adds_to_what_is_kept_and_changes_none_of_it(
    roles: Roles, redis_url: str, redis_server: RedisServer
) -> None:
    service, owner = roles.url(roles.service), Owner(roles.url(roles.owner), kept_days=366)
    await migrate(service, owner=owner)
    settings = Settings(database_url=SecretStr(service), redis_url=SecretStr(redis_url), record_wait_seconds=0.01)
    async with opened(service) as store, opened(owner.url) as owners:
        spine = Spine(store, redis_server, settings)
        await spine.open_epoch()
        for age in (500, 400, 300, 30):
            await tried(owners, OLD.format(age, age))
        await acted(spine)
        for statement in NEVER:
            with pytest.raises((StatementRefused, RowRefused)):
                await tried(store, statement)
        found = await verify(store)
        assert (found.faults, found.entries, found.role_may) == ([], 9, ())
        # The sweep lets leave what is old enough, and nobody lets leave more.
        async with store.transaction() as connection:
            await ensure_partitions(connection, days_ahead=9)
        await RetentionSweep(store, settings).single_pass()
        assert await _subjects(store) == ["300", "30", *["email"] * 5]
        async with store.transaction() as connection:
            assert await audit.leave(connection, datetime.now(UTC) + timedelta(days=9), 100) == 0
        # Migrated again, as at each upgrade, all is as it was.
        await migrate(service, owner=owner)
        await acted(spine, 1)
        assert (await verify(store)).faults == []
        async with store.statement() as connection:
            assert await rights(connection) == (roles.service, ())
        async with owners.statement() as connection:
            assert (await rights(connection))[1][0] == "owns it"
        (line,) = [one for one in await examine(settings, []) if one.check == "postgresql.audit"]
        assert (line.level, roles.service in line.says) == ("ok", True)
        await spine.commits.drain()


async def test_a_database_with_one_role_is_handed_over_by_migrating_it(
    roles: Roles, database_url: str, redis_server: RedisServer, settings: Settings
) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    service = database_url.replace(f"//{USER}@", f"//{roles.service}@")
    async with opened(database_url) as store:
        before = Spine(store, redis_server, settings)
        await before.open_epoch()
        await acted(before, 3)
        async with store.statement() as connection:
            assert await rights(connection) == (USER, ("is a superuser",))
    await migrate(service, owner=Owner(database_url, kept_days=366))
    async with opened(service) as store:
        spine = Spine(store, redis_server, settings)
        await acted(spine, 2)
        found = await verify(store)
        assert (found.faults, found.entries, found.role_may) == ([], 5, ())
        with pytest.raises(StatementRefused):
            await tried(store, "UPDATE audit SET reason = 'another'")
        owners = await spine.rows("SELECT DISTINCT tableowner AS name FROM pg_tables WHERE schemaname = 'public'")
        assert {row["name"] for row in owners} == {USER, roles.service}
        owned = await spine.rows(f"SELECT tablename AS name FROM pg_tables WHERE tableowner = '{USER}'")
        assert {row["name"] for row in owned} >= {"audit", "audit_head"}
        await spine.commits.drain()
    await roles.run(f"REASSIGN OWNED BY {roles.service} TO {USER}", f"DROP OWNED BY {roles.service}", database=name)


async def _subjects(store: Store) -> list[str]:
    async with store.statement() as connection:
        page = await audit.page(connection, audit.EntryFilter(), 100)
    return [row.subject for row in reversed(page)]


@pytest.mark.parametrize("as_json", [True, False])
def test_who_verifies_is_told_that_its_role_may_change_what_it_looked_at(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    show_verdict(Verdict(role="app", role_may=("owns it",)), as_json=as_json)
    assert "owns it" in capsys.readouterr().out


def test_a_password_is_kept_as_rfc_7677_has_it() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    keys = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    assert scram("pencil", salt) == f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"
