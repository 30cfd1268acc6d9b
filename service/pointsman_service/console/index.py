"""``python -m pointsman_service index``: build what a migration has left to be built on big tables."""

import typer

from pointsman_service.database import create_engine
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.indexes import build, give_back, lacking_indexes, take_turn

_DAY_SECONDS = 86_400.0
"""An index of a day of a hundred million tasks takes less."""


async def build_indexes(settings: Settings) -> bool:
    """Build the indexes that days of ended tasks lack, one after the other, and say so; whether all of them are there.

    Nobody waits for it but who drops a day. It may be ended at any moment, and called again.
    """
    patient = settings.model_copy(update={"database_timeout_seconds": _DAY_SECONDS})
    store = Store(create_engine(patient, "pointsman index"))
    try:
        async with store.statement() as connection:
            if not await take_turn(connection):
                typer.echo("Another one builds them at this moment.", err=True)
                return False
            try:
                wanted = await lacking_indexes(connection)
                for number, one in enumerate(wanted, 1):
                    typer.echo(f"{number} of {len(wanted)}: {one.name}, on {one.bytes / 1e6:,.0f} MB of rows")
                    await build(connection, one)
            finally:
                await give_back(connection)
        typer.echo("Every index is there.")
        return True
    finally:
        await store.close()
