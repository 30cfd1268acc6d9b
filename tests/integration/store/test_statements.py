from sqlalchemy import text

from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.partitions import partition_name
from tests.statements import reference


async def test_the_database_understands_every_statement(store: Store) -> None:
    """Also those that are sent once a year. Their parameters get the types that the statement gives them."""
    refused = {}
    async with store.transaction() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await connection.execute(text(f"CREATE TABLE {partition_name(reference.DAY)} (LIKE task)"))
        for statement in reference.statements():
            try:
                await raw.prepare(statement.compiled("numeric_dollar"))
            except Exception as error:
                refused[f"{statement.module.__name__} {statement.name}"] = str(error)
                break
    assert refused == {}
