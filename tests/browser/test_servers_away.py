"""What every page says while a server is away: it renders, names what is missing, and nothing of before looks fresh."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.browser.filling import fill
from tests.browser.paths import paths_of
from tests.browser.site import Site
from tests.stand.waiting import until

_OF_NO_DATABASE = ("help", "search", "search?q=nothing-of-this-name", "queues/set-aside/messages")
"""Pages that show nothing of it. What is no id, and a filter that cannot be used, asks it nothing either."""
_OF_NO_SERVER = "sign-in"
"""It shows nothing of either."""
_AT_ONCE = 4
_REDIS = "The broker does not answer"


@pytest.fixture
async def broken(
    postgres: PostgresServer, migrated_template: str, tmp_path: Path
) -> AsyncIterator[tuple[Site, ValkeyServer]]:
    """An installation with something on every page, and the Redis of its own that may be killed."""
    database = postgres.start().create_database(template=migrated_template)
    with ValkeyServer(tmp_path / "valkey", appendonly=False) as valkey:
        async with Site(database, valkey.url) as site:
            await fill(site)
            yield site, valkey


async def test_every_page_renders_and_says_what_is_missing_while_a_server_is_away(
    broken: tuple[Site, ValkeyServer],
) -> None:
    site, valkey = broken
    paths = [path for path in await paths_of(site) if path != _OF_NO_SERVER]
    async with httpx.AsyncClient(base_url=site.url, timeout=30) as client:
        before = dict(await _pages(client, paths))
        valkey.kill()

        # A look at the first page is kept for a second and a half.
        await until(lambda: _says(client, "alerts", _REDIS), "Redis to be missed")
        await until(lambda: _says(client, "", _REDIS), "Redis to be missed on the first page")
        for path, answer in await _pages(client, paths):
            assert answer.status_code == before[path].status_code, path
            _check(path, answer)
            assert _REDIS in answer.text or "Redis" in answer.text, path
        async with site.database_refusing():
            await until(lambda: _says(client, "", "PostgreSQL"), "PostgreSQL to be missed")
            for path, answer in await _pages(client, paths):
                _check(path, answer)
                assert "PostgreSQL" in answer.text, path
                if path in _OF_NO_DATABASE or answer.status_code in (404, 422):
                    continue
                if path == "":
                    # What it knew, grey and with since when.
                    assert answer.status_code == 200
                    assert '<section id="live-queues" class="old">' in answer.text
                    assert "as they were" in answer.text
                    continue
                assert answer.status_code == 503, path
                assert not re.search("<(td|dd)[ >]", answer.text.partition("<h2>What is known")[0]), path


async def _pages(client: httpx.AsyncClient, paths: list[str]) -> list[tuple[str, httpx.Response]]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(path: str) -> tuple[str, httpx.Response]:
        async with turns:
            return path, await client.get(path)

    return await asyncio.gather(*map(one, paths))


def _check(path: str, answer: httpx.Response) -> None:
    assert answer.status_code in (200, 404, 422, 503), path
    assert answer.text.rstrip().endswith("</html>"), path
    assert "<h1" in answer.text, path
    for words in ("sqlalchemy", "asyncpg", "Errno", "site-packages", "pointsman_service/"):
        assert words not in answer.text, (path, words)


async def _says(client: httpx.AsyncClient, path: str, words: str) -> bool:
    page = (await client.get(path)).text
    return words in page.partition('id="banner"')[2].partition("<main")[0]
