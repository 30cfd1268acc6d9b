"""The one place that connects to Redis or Valkey.

Every connection remembers the ``run_id`` of the server it reached. It changes with each start and failover, so the
scripts can refuse a caller who still believes in the data of the server before.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from pointsman_contract.lua import source
from pointsman_contract.server_words import server_words
from pointsman_contract.signing import ANYTHING, Trust
from pointsman_service.absence import Absence
from pointsman_service.errors import ExpectedFault

__all__ = ["BrokerAway", "RedisServer", "ScriptCall", "Word"]


Word = str | bytes | int | float
ScriptCall = tuple[Sequence[str], Sequence[Word], Sequence[Word]]
"""Keys, the arguments before the ``run_id`` of the connection, and those after it."""


_CLOCK_SECONDS = 10.0


class BrokerAway(ExpectedFault):
    """Redis did not answer in time, or refused."""

    said: str = ""
    """What it said itself when it let nobody in. Other words of this error may name its address."""


_SAYS_ITSELF = (AuthenticationError, BusyLoadingError, NoPermissionError)
"""Answers of Redis that say why it lets nobody in."""

_CONNECTION_CLASSES: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}


class RedisServer:
    """One server, reached over one connection, one command at a time; every wait is bounded.

    All methods raise ``BrokerAway`` when the server does not answer; the next call connects again.
    """

    def __init__(self, url: str, timeout_seconds: float, trust: Trust = ANYTHING) -> None:
        """``trust``: what of its data is believed, for whoever reads it."""
        self.trust = trust
        options: dict[str, Any] = dict(parse_url(url))
        options.pop("connection_class", None)
        self._timeout_seconds = timeout_seconds
        self._run_id = ""
        self._connection: AbstractConnection = _CONNECTION_CLASSES[urlsplit(url).scheme](
            redis_connect_func=self._greet,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **options,
        )
        self._lock = asyncio.Lock()
        self._digests: dict[str, str] = {}
        self._clock = (0.0, 0.0)
        self._absence = Absence("Redis", [options.get("password")])

    async def _greet(self, connection: AbstractConnection) -> None:
        """What redis-py does on a new connection, and then: which server is this?"""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        answer = await connection.read_response()
        text = answer.decode() if isinstance(answer, bytes) else str(answer)
        self._run_id = next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), "")
        if not self._run_id:
            raise RedisConnectionError("INFO server names no run_id")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """The connection to oneself. While the server is silent each caller holds it for its whole time limit, so the
        wait of those behind has the same limit and does not add up.
        """
        if self._lock.locked():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await self._lock.acquire()
            except TimeoutError:
                raise BrokerAway("the one before still waits for its answer") from None
        else:
            await self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._connection.disconnect()

    async def run_id(self) -> str:
        """The ``run_id`` of the server, after a PING proved that the connection is alive."""
        async with self._turn():
            await self._ask([("PING",)])
            return self._run_id

    async def now(self) -> float:
        """Unix seconds on its clock, which is asked every ten seconds."""
        asked_at, ahead = self._clock
        if not asked_at or time.monotonic() - asked_at > _CLOCK_SECONDS:
            seconds, micros = await self.command("TIME")
            asked_at = time.monotonic()
            ahead = int(seconds) + int(micros) / 1e6 - asked_at
            self._clock = (asked_at, ahead)
        return time.monotonic() + ahead

    async def command(self, *words: str | bytes | int | float) -> Any:
        """The answer to one command."""
        async with self._turn():
            return (await self._ask([words]))[0]

    async def pipeline(self, commands: Sequence[tuple[str | bytes | int | float, ...]]) -> list[Any]:
        """The answers to several commands sent together."""
        async with self._turn():
            return await self._ask(commands)

    async def script(self, name: str, script_keys: Sequence[str], head: Sequence[Word], tail: Sequence[Word]) -> Any:
        """Run one of ``pointsman_contract.lua``: its arguments are ``head``, this connection's ``run_id``, ``tail``."""
        async with self._turn():
            return (await self._evaluate(name, [(script_keys, head, tail)]))[0]

    async def scripts(self, name: str, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run one script many times in one round trip; each call is (keys, head, tail)."""
        async with self._turn():
            return await self._evaluate(name, calls)

    async def _evaluate(self, name: str, calls: Sequence[ScriptCall]) -> list[Any]:
        digest = self._digests.get(name)
        if digest is None:
            digest = await self._load(name)
        try:
            await self._connected()
            return await self._ask([self._call(digest, call) for call in calls])
        except NoScriptError:
            await self._load(name)
            return await self._ask([self._call(self._digests[name], call) for call in calls])

    async def _load(self, name: str) -> str:
        digest: bytes = (await self._ask([("SCRIPT", "LOAD", source(name))]))[0]
        self._digests[name] = digest.decode()
        return self._digests[name]

    def _call(self, digest: str, call: ScriptCall) -> tuple[Any, ...]:
        script_keys, head, tail = call
        return ("EVALSHA", digest, len(script_keys), *script_keys, *head, self._run_id, *tail)

    async def _connected(self) -> None:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        except (RedisError, OSError, TimeoutError) as error:
            raise self._away(error) from error
        except asyncio.CancelledError:
            # It may have been greeted and not have answered yet.
            await self._connection.disconnect(nowait=True)
            raise

    async def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Raises the server's error of the first command that failed, after all answers have been read."""
        connection = self._connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            await connection.send_packed_command(connection.pack_commands(commands))
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except (RedisConnectionError, TimeoutError):
                    raise
                except RedisError as error:
                    answers.append(error)
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            raise self._away(error) from error
        except asyncio.CancelledError:
            # An answer may still be on its way: this connection cannot be used again.
            await connection.disconnect(nowait=True)
            raise
        for answer in answers:
            if isinstance(answer, NoScriptError):
                raise answer
            if isinstance(answer, RedisError):
                raise _refused(answer) from answer
        self._absence.ended()
        return answers

    def _away(self, error: Exception) -> BrokerAway:
        words = self._absence.began(error)
        return _refused(error) if isinstance(error, _SAYS_ITSELF) else BrokerAway(words)


def _refused(answer: RedisError) -> BrokerAway:
    away = BrokerAway(str(answer))
    if isinstance(answer, _SAYS_ITSELF):
        away.said = server_words(answer)
    return away
