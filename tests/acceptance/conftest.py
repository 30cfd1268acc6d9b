"""Whole installations: one shared by the ordinary tests, others of a test's own that may be broken."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, then those that break their own stack, then those that share one: it starts last."""
    items.sort(key=lambda item: (_is_acceptance(item), "stack" in getattr(item, "fixturenames", ())))


def _is_acceptance(item: pytest.Item) -> bool:
    return item.get_closest_marker("acceptance") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes of the test's stack said when it failed."""
    report = yield
    if report.failed:
        found: dict[str, Any] = getattr(item, "funcargs", {})
        report.sections += [
            (f"processes of {name}", value.last_lines()) for name, value in found.items() if isinstance(value, Stack)
        ]
    return report


@pytest.fixture(scope="session")
async def stack(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """A running installation that many tests share. Its Valkey is its own: other tests empty theirs."""
    directory = tmp_path_factory.mktemp("stack")
    database = postgres.start().create_database(template=migrated_template)
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        private = {"POINTSMAN_ALLOW_PRIVATE_TARGETS": "true"}
        modules = ("tests.stand.ledger_tasks", "tests.acceptance.hooked_tasks")
        async with Stack(database, valkey, directory, variables=private, modules=modules) as running:
            yield running


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey that may be killed; it comes back empty."""
    with ValkeyServer(tmp_path / "valkey", appendonly=False) as server:
        yield server


@pytest.fixture
async def own_stack(database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stack]:
    """An installation of this test's own, with a third process for what runs across a fault."""
    async with Stack(database_url, own_valkey, tmp_path, processes=3) as running:
        yield running


Release = Callable[[], None]


@asynccontextmanager
async def held(stack: Stack, release: Path) -> AsyncIterator[Release]:
    """Every process holds a task until this is called, or the block ends."""
    let_go = release.touch
    async with AsyncExitStack() as exits:
        exits.callback(let_go)
        holding = [
            await stack.submit("ledger.hold", args=[str(release)], queue="critical") for _ in range(stack.processes)
        ]
        await stack.wait_for_effects(holding)
        yield let_go
        let_go()
        for task_id in holding:
            assert (await stack.finished(task_id))["state"] == "succeeded"


@pytest.fixture
async def all_busy(stack: Stack, tmp_path: Path) -> AsyncIterator[Release]:
    """Every process of the shared stack holds a task until the test calls this, or ends."""
    async with held(stack, tmp_path / "release") as release:
        yield release
