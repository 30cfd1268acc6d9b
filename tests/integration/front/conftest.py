"""One API process that hostile clients may attack, and a normal client beside them."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.database import create_engine
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from tests.stand.environment import inherited
from tests.stand.processes import Child
from tests.stand.waiting import until

FULL = os.environ.get("POINTSMAN_HOSTILE", "") == "full"
"""Attack with the figures of an afternoon instead of those of a minute."""


class Watch:
    """What a normal client saw meanwhile."""

    def __init__(self) -> None:
        self.submitted = 0
        self.worst_seconds = 0.0
        self.grown_bytes = 0


class Api:
    """A running ``python -m pointsman_service api``."""

    def __init__(self, child: Child, port: int, log: Path) -> None:
        self.child = child
        self.port = port
        self.log = log
        self.http = httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=20, trust_env=False)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection(HOST, self.port)

    def memory(self, name: str = "VmRSS") -> int:
        """Bytes the process has (``VmRSS``), or had at most since ``forget_peak`` (``VmHWM``)."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def submit(self) -> float:
        """One submission as everybody makes it, on a connection of its own; how many seconds it took.

        For a thread: a client that shared the loop of those who attack would send its request when they let it.
        """
        began = time.monotonic()
        with closing(HTTPConnection(HOST, self.port, timeout=20)) as client:
            client.request(
                "POST", "/v1/tasks", b'{"task_type":"noop","args":["a"]}', {"Content-Type": "application/json"}
            )
            answer = client.getresponse()
            said = answer.read()
        assert answer.status == 202, said
        return time.monotonic() - began

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Watch]:
        """Submit normally for the length of the block; then fill in the watch."""
        watch, ended = Watch(), asyncio.Event()
        self.forget_peak()
        before = self.memory()
        submitting = asyncio.create_task(self._submit_on(watch, ended))
        try:
            yield watch
        finally:
            ended.set()
            await submitting
        watch.grown_bytes = self.memory("VmHWM") - before
        if FULL:
            print(f"grew {watch.grown_bytes / 1e6:.0f} MB, {watch.submitted} normal, worst {watch.worst_seconds:.3f} s")  # noqa: T201

    async def _submit_on(self, watch: Watch, ended: asyncio.Event) -> None:
        while not ended.is_set():
            seconds = await asyncio.to_thread(self.submit)
            watch.submitted += 1
            watch.worst_seconds = max(watch.worst_seconds, seconds)
            await asyncio.wait([asyncio.create_task(ended.wait())], timeout=0.02)


@pytest.fixture(scope="module")
async def api(
    postgres: PostgresServer, valkey: ValkeyServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """An API process with times short enough for a test, and a task type."""
    directory = tmp_path_factory.mktemp("front")
    database_url = postgres.start().create_database(template=migrated_template)
    store = Store(create_engine(Settings(database_url=SecretStr(database_url)), "test"))
    async with store.statement() as connection:
        await catalogue.publish(
            connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9, extra_positional=True)]
        )
    await store.close()
    port = free_port()
    environment = inherited()
    environment |= {
        "POINTSMAN_DATABASE_URL": database_url,
        "POINTSMAN_REDIS_URL": valkey.start().url,
        "POINTSMAN_DATA_DIR": str(directory),
    }
    if not FULL:
        environment |= {
            "POINTSMAN_RECEIVE_SECONDS": "1",
            "POINTSMAN_IDLE_SECONDS": "2",
            "POINTSMAN_CONNECTIONS_MOST": "80",
        }
    log = directory / "api.log"
    child = Child(
        "api", ["-m", "pointsman_service", "api", "--host", "127.0.0.1", "--port", str(port)], environment, log
    )
    running = Api(child, port, log)
    child.start()
    try:

        async def answers() -> bool:
            assert child.is_running, log.read_text()
            try:
                return (await running.http.get("/livez")).status_code == 200
            except httpx.NetworkError:
                return False

        await until(answers, "the API to answer")
        yield running
    finally:
        await running.http.aclose()
        child.kill()
