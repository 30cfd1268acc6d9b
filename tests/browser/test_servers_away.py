"""What every page says while a server is away: it renders, names what is missing, and nothing of before looks fresh."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
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
_POSTGRES = "PostgreSQL does not answer"
_LOOKED_AT = ("", "tasks", "errors", "queues")
"""More than are looked at at once."""


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
            assert _banner(answer.text).count(_REDIS) <= 1, path
            # Nobody sees beats now, so none is said to come.
            assert "on time" not in answer.text, path
        assert "on time" in before["workers"].text
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


async def test_pages_answer_and_say_one_thing_while_postgresql_hangs(
    postgres: PostgresServer, migrated_template: str, redis_of_browser: ValkeyServer
) -> None:
    database = postgres.start().create_database(template=migrated_template)
    # Whoever waited for it as long as for a statement would be waiting when this test is over.
    async with (
        Site(database, redis_of_browser.url, database_timeout_seconds=300) as site,
        httpx.AsyncClient(base_url=site.url, timeout=60) as client,
    ):
        for path in _LOOKED_AT:
            (await client.get(path)).raise_for_status()
        async with AsyncExitStack() as exits:
            answers = [
                await exits.enter_async_context(client.stream("GET", "stream", params={"of": path}))
                for path in _LOOKED_AT
            ]
            beats = [_beats(answer) for answer in answers]
            for told in beats:
                await anext(told)
            with _hanging(postgres):
                await until(lambda: _says(client, "", _POSTGRES), "PostgreSQL to be missed on the first page")
                for path in _LOOKED_AT:
                    answer = await client.get(path)
                    _check(path, answer)
                    assert _POSTGRES in answer.text or "PostgreSQL is away" in answer.text, path
                    assert answer.status_code == (200 if path == "" else 503), path
                    assert ("as they were" in answer.text) is (path == "")
                for told in beats:
                    # What was told before, and what a look came to that had begun before, are none of it.
                    while _POSTGRES not in (words := await anext(told)):
                        pass
                    assert [await anext(told), await anext(told)] == [words, words]

            async def is_back() -> bool:
                return not await _says(client, "", _POSTGRES) and (await client.get("tasks")).status_code == 200

            await until(is_back, "PostgreSQL to be there again")


@contextmanager
def _hanging(postgres: PostgresServer) -> Iterator[None]:
    """Nobody who asks it anything hears anything, nor who wants to be let in."""
    server = psutil.Process(postgres.pid)
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


async def _beats(answer: httpx.Response) -> AsyncIterator[str]:
    """What is said to be wrong, each time that something is told."""
    is_beat = False
    async for line in answer.aiter_lines():
        if is_beat and line.startswith("data:"):
            beat = json.loads(line.removeprefix("data:"))
            yield beat["fault"] or " ".join(beat["missing"])
        is_beat = line == "event: beat"


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
    return words in _banner((await client.get(path)).text)


def _banner(page: str) -> str:
    return page.partition('id="banner"')[2].partition("<main")[0]
