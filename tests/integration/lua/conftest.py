import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from pointsman_contract import keys
from pointsman_service.redis import RedisServer, Word

EPOCH = 7


class Scripts:
    """The scripts with their usual arguments, on an open epoch."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    async def declare(self, epoch: int = EPOCH) -> int:
        return int(await self.server.script("declare", [keys.CONTROL], [epoch], []))

    async def open(self, epoch: int = EPOCH) -> int:
        return int(await self.server.script("open", [keys.CONTROL], [epoch], []))

    async def publish(self, *messages: tuple[str, str, str], epoch: int = EPOCH, memory_limit: int = 70) -> list[Any]:
        tail: list[Word] = [memory_limit]
        for message in messages:
            tail += message
        answer: list[Any] = await self.server.script("publish", [keys.CONTROL, keys.SEQUENCE], [epoch], tail)
        return answer

    async def gate(self, task: str, **changes: Any) -> list[Any]:
        given: dict[str, Any] = {
            "epoch": EPOCH,
            "after": 0,
            "token": uuid4().hex,
            "owner": "worker-1",
            "sent_at": await self.now(),
            "expires_at": "",
            "longest_stream": 1000,
            "memory_limit": 85,
            "breakers": (),
        } | changes
        body = json.dumps({"task_type": "noop", "queue": "maintenance", "worker": "w@h", "dispatch": 1})
        answer: list[Any] = await self.server.script(
            "gate",
            [keys.CONTROL, keys.claim(task), keys.BREAKERS],
            [keys.EVENTS_PREFIX],
            [
                given["epoch"],
                task,
                given["after"],
                given["token"],
                given["owner"],
                given["sent_at"],
                given["expires_at"],
                body,
                keys.CLAIM_SECONDS,
                keys.ASK_SECONDS,
                given["longest_stream"],
                given["memory_limit"],
                "maintenance",
                given.get("signed", ""),
                *given["breakers"],
            ],
        )
        return answer

    async def report(
        self, task: str, attempt: int, token: str, kind: str = "succeeded", verdict: Sequence[Word] = ()
    ) -> list[Any]:
        answer: list[Any] = await self.server.script(
            "report",
            [keys.CONTROL, keys.claim(task), keys.BREAKERS, keys.BREAKER_FAILURES],
            [keys.EVENTS_PREFIX],
            [task, attempt, token, kind, "{}", keys.CLAIM_SECONDS, "", *verdict],
        )
        return answer

    async def close(self, task: str, reason: str = "cancelled", epoch: int = EPOCH, after: int = 0) -> bytes:
        answer: bytes = await self.server.script(
            "close", [keys.CONTROL, keys.claim(task)], [epoch], [reason, keys.CLAIM_SECONDS, after]
        )
        return answer

    async def restore(self, task: str, attempt: int, token: str, epoch: int = EPOCH) -> int:
        return int(
            await self.server.script("restore", [keys.CONTROL, keys.claim(task)], [epoch], [attempt, token, "worker-1"])
        )

    async def now(self) -> float:
        seconds, micros = await self.server.command("TIME")
        return int(seconds) + int(micros) / 1e6

    async def claim(self, task: str) -> dict[str, str]:
        flat = await self.server.command("HGETALL", keys.claim(task))
        return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}

    async def claim_seconds(self, task: str) -> int:
        return int(await self.server.command("TTL", keys.claim(task)))

    async def events(self, epoch: int = EPOCH) -> list[dict[str, str]]:
        entries = await self.server.command("XRANGE", keys.events(epoch), "-", "+")
        return [{flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)} for _, flat in entries]

    async def kinds(self, epoch: int = EPOCH) -> list[str]:
        return [event["kind"] for event in await self.events(epoch)]


@pytest.fixture
async def redis_server(redis_url: str) -> AsyncIterator[RedisServer]:
    """A connection; these tests need no database."""
    server = RedisServer(redis_url, 2.0)
    yield server
    await server.close()


@pytest.fixture
async def shut(redis_server: RedisServer) -> Scripts:
    """A server on which no epoch was declared."""
    return Scripts(redis_server)


@pytest.fixture
async def scripts(shut: Scripts) -> Scripts:
    """A server with an open epoch."""
    assert await shut.declare() == 1
    assert await shut.open() == 1
    return shut


@pytest.fixture
def task() -> str:
    return str(uuid4())
