"""The proxy does to a line what a scenario says it does."""

import asyncio
import random

import pytest

from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.redis import BrokerAway, RedisServer
from tests.torture.proxy import Proxy


def through(proxy: Proxy) -> RedisServer:
    return RedisServer(f"redis://127.0.0.1:{proxy.port}/0", 0.5)


async def test_bytes_pass_both_ways_until_the_line_is_frozen(valkey: ValkeyServer) -> None:
    with Proxy.to_port(valkey.start().port) as proxy:
        server = through(proxy)
        assert await server.command("PING") == b"PONG"
        proxy.freeze()
        with pytest.raises(BrokerAway):
            await server.command("PING")
        proxy.go_on()
        assert await server.command("PING") == b"PONG"
        await server.close()


async def test_swallowed_answers_leave_the_request_done(valkey: ValkeyServer) -> None:
    with Proxy.to_port(valkey.start().port) as proxy:
        server = through(proxy)
        await server.command("PING")
        proxy.swallow_answers()
        with pytest.raises(BrokerAway):
            await server.command("SET", "done", "yes")
        proxy.go_on()
        assert await server.command("GET", "done") == b"yes"
        await server.command("DEL", "done")
        await server.close()


async def test_a_reset_breaks_every_connection(valkey: ValkeyServer) -> None:
    with Proxy.to_port(valkey.start().port) as proxy:
        server = through(proxy)
        await server.command("PING")
        waiting = asyncio.create_task(server.command("BLPOP", "nobody", 1))
        await asyncio.sleep(0)
        assert proxy.reset(random.Random(1)) == 1
        with pytest.raises(BrokerAway):
            await waiting
        assert await server.command("PING") == b"PONG"
        await server.close()
