"""What the tools of SQLAlchemy and Django see of the outbox."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine

from pointsman_client.outbox.sqlalchemy import Outbox


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
