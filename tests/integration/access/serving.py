"""A process of the API that asks for keys, for tests that look at it from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from pointsman_service.embedded.ports import free_port
from pointsman_service.settings import Settings
from tests.stand.environment import inherited
from tests.stand.processes import Child
from tests.stand.waiting import until


class Served(NamedTuple):
    """A process that answers."""

    http: httpx.AsyncClient
    port: int
    log: Path


@asynccontextmanager
async def served(settings: Settings, directory: Path, role: str = "api", **variables: str) -> AsyncIterator[Served]:
    """One, until the end of the block. There must be a key of an admin."""
    port, log = free_port(), directory / "api.log"
    environment = inherited() | {
        "POINTSMAN_DATABASE_URL": settings.require_database_url(),
        "POINTSMAN_REDIS_URL": settings.require_redis_url(),
        "POINTSMAN_DATA_DIR": str(directory),
        "POINTSMAN_KEYS_REQUIRED": "true",
        **variables,
    }
    child = Child("api", ["-m", "pointsman_service", role, "--port", str(port)], environment, log)
    child.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http:

            async def answers() -> bool:
                if not child.is_running:
                    raise RuntimeError(f"it has ended: {log.read_text()}")
                try:
                    return (await http.get("/livez")).status_code == 200
                except httpx.NetworkError:
                    return False

            await until(answers, "the API to answer")
            yield Served(http, port, log)
    finally:
        await child.stop()
