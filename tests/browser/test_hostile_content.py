"""Whatever others have written into any column of text is shown as text, on every page."""

import asyncio
from collections.abc import AsyncIterator
from itertools import zip_longest

import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.store.store import RowRefused, StatementRefused
from tests.browser.filling import fill
from tests.browser.filling_queues import set_message_aside
from tests.browser.paths import paths_of
from tests.browser.site import Site

MARK = "<script>alert(1)</script>"
HOSTILE = f"{MARK}\"' onmouseover='x' {{{{ 7 * 7 }}}} %s \u202egnirts \U0001f9e8\n\x1b[31m " + "x" * 3000
OURS = {
    "alert.rule", "alert.severity", "alert_delivery.status", "alert_delivery.event", "audit.act", "breaker.scope",
    "breaker.seen", "breaker_transition.scope", "breaker_transition.before", "breaker_transition.after",
    "error_group.state", "error_group_change.before", "error_group_change.after", "replay.kind", "replay.stage",
    "run_log.lines", "task.state", "task_live.state", "task_live.place",
}  # fmt: skip
"""Columns of words that only we write."""


@pytest.fixture(scope="module")
async def site(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A full installation, to be spoilt."""
    database = postgres.start().create_database(template=migrated_template)
    with ValkeyServer(tmp_path_factory.mktemp("content") / "valkey", appendonly=False) as valkey:
        async with Site(database, valkey.url) as made:
            await fill(made)
            await set_message_aside(made, "reports", HOSTILE)
            yield made


async def test_what_is_in_any_column_of_text_is_shown_as_text(site: Site) -> None:
    paths = await paths_of(site)
    columns = await site.run(
        "SELECT c.table_name AS name, c.column_name AS of FROM information_schema.columns c"
        " JOIN pg_class r ON r.relname = c.table_name AND r.relkind IN ('r', 'p') AND NOT r.relispartition"
        " JOIN pg_namespace n ON n.oid = r.relnamespace AND n.nspname = c.table_schema"
        " WHERE c.table_schema = 'public' AND c.data_type IN ('text', 'character varying') ORDER BY 1, 2"
    )
    by_table: dict[str, list[str]] = {}
    names: list[str] = []
    for column in columns:
        if column.of == "name":
            names.append(column.name)
        elif f"{column.name}.{column.of}" not in OURS:
            by_table.setdefault(column.name, []).append(column.of)
    # One column of each table at a time: what was spoilt before is so still, but for its length. Names alone, and last:
    # with them things are found.
    rounds = [
        [(table, name) for table, name in zip(by_table, together, strict=True) if name is not None]
        for together in zip_longest(*by_table.values())
    ]
    rounds += [[(table, "name")] for table in names]
    shown, spoilt, faults = set[str](), 0, list[str]()
    async with httpx.AsyncClient(base_url=site.url, timeout=60) as client:
        for tried in rounds:
            written = [one for one in tried if await _spoil(site, *one)]
            if not written:
                continue
            spoilt += len(written)
            where = ", ".join(map(".".join, written))
            for path, answer in await asyncio.gather(*(_page(client, path) for path in paths)):
                if answer.status_code >= 500:
                    faults.append(f"{where}: {path}: {answer.status_code}")
                if MARK in answer.text or "49 %s" in answer.text:
                    faults.append(f"{where}: {path}: it is no text")
                if "&lt;script&gt;" in answer.text:
                    shown.add(path)
            for table, name in written:
                await site.run(f"UPDATE {table} SET {name} = left(CAST({name} AS text), 40)")
    assert faults == []
    assert spoilt > 10
    assert len(shown) > 10, "it is shown somewhere"


async def _page(client: httpx.AsyncClient, path: str) -> tuple[str, httpx.Response]:
    return path, await client.get(path)


async def _spoil(site: Site, table: str, column: str) -> bool:
    """Whether anything could be written there."""
    try:
        rows = await site.run(f"UPDATE {table} SET {column} = :text RETURNING 1", text=HOSTILE)
    except (DBAPIError, RowRefused, StatementRefused):
        return False
    return bool(rows)
