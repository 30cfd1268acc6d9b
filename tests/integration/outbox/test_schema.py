"""What the tools of SQLAlchemy and Django see of the outbox."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine

from pointsman_client.outbox.sqlalchemy import Outbox
from tests.integration.outbox.conftest import in_mariadb
from tests.integration.outbox.test_rows import NOW
from tests.peers.mariadb import MariaDB


def test_alembic_sees_the_table_and_nothing_to_change_once_it_is_there(shop_url: str) -> None:
    metadata = MetaData()
    Outbox(metadata)
    engine = create_engine(shop_url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
        assert [change[0] for change in found] == ["add_table", "add_index", "add_index"]
        metadata.create_all(connection)
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_who_writes_does_not_wait_for_a_relay_that_claims_rows_of_mariadb(mariadb: MariaDB) -> None:
    """It locks the gap where the next row goes, unless it is told otherwise, and may roll back who waits for it."""
    metadata = MetaData()
    outbox = Outbox(metadata)
    with in_mariadb(mariadb) as url:
        engine = create_engine(url)
        metadata.create_all(engine)
        rows = outbox.rows(engine)
        with rows._connected() as claiming:
            assert rows._due(claiming, 10, NOW) == []
            with engine.begin() as connection:
                outbox.submit(connection, "echo")
        assert len(rows.claim("a", 10, NOW, NOW)) == 1
        engine.dispose()
