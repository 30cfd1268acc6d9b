"""A server that is silent costs each caller its own time limit, not that of everybody before."""

import asyncio
import time

import pytest

from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.redis import BrokerAway, RedisServer
from tests.torture.proxy import Proxy

_LIMIT_SECONDS = 0.3
_CALLERS = 20


async def test_callers_of_a_silent_server_do_not_wait_for_one_another(valkey: ValkeyServer) -> None:
    with Proxy.to_port(valkey.start().port) as proxy:
        server = RedisServer(f"redis://127.0.0.1:{proxy.port}/0", _LIMIT_SECONDS)
        await server.command("PING")
        proxy.freeze()
        began = time.monotonic()
        answers = await asyncio.gather(*(server.command("PING") for _ in range(_CALLERS)), return_exceptions=True)
        took = time.monotonic() - began
        assert all(isinstance(answer, BrokerAway) for answer in answers)
        # One waits for the answer, one for a connection and its greeting; in line it would be twenty.
        assert took < _LIMIT_SECONDS * _CALLERS / 2
        proxy.go_on()
        assert await server.command("PING") == b"PONG"
        await server.close()


async def test_a_caller_that_gives_up_leaves_the_line_in_order(valkey: ValkeyServer) -> None:
    server = RedisServer(valkey.start().url, _LIMIT_SECONDS)
    first = asyncio.create_task(server.command("BLPOP", "nobody", 10))
    second = asyncio.create_task(server.command("PING"))
    with pytest.raises(BrokerAway):
        await second
    with pytest.raises(BrokerAway):
        await first
    assert await server.command("PING") == b"PONG"
    await server.close()
