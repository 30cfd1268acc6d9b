"""One connection to Redis of one process, and nothing that retries behind one's back.

Every connection remembers the ``run_id`` of the server it reached: it changes with each start and failover, so that
the scripts can refuse a caller who still believes in the data of the server before.
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from pointsman.settings import Settings
from pointsman.stamp import Stamp
from pointsman_contract.lua import source

Word = str | bytes | int | float

AWAY = (RedisError, OSError)
"""What a call raises when Redis did not answer or refused."""


_CLOCK_SECONDS = 10.0
"""So long the clock of Redis is gone by before it is asked again."""


def is_of_script(error: Exception) -> bool:
    """Whether Redis did answer, and a script failed there: at a key of another type, or at what the key holds."""
    return isinstance(error, ResponseError) and "user_script" in str(error)


class _RemembersRunId(AbstractConnection):
    run_id: str = ""

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)
        self.send_command("INFO", "server", check_health=False)  # type: ignore[no-untyped-call]  # redis-py
        text = cast(str, self.read_response())
        self.run_id = next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), "")
        if not self.run_id:
            raise RedisConnectionError("INFO server names no run_id")


class _TcpConnection(_RemembersRunId, Connection):
    pass


class _TlsConnection(_RemembersRunId, SSLConnection):
    pass


class _UnixConnection(_RemembersRunId, UnixDomainSocketConnection):
    pass


_CLASSES: dict[str, type[Any]] = {"redis": _TcpConnection, "rediss": _TlsConnection, "unix": _UnixConnection}


@cache
def _digest(script: str) -> str:
    return hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Calls scripts and commands. Every method raises one of ``AWAY``; the next call connects again.

    Threads of a task's body may use it beside the one that runs the task: they wait for each other.
    """

    def __init__(self, settings: Settings) -> None:
        url = settings.require_redis_url()
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py
        options.pop("connection_class", None)
        options |= {
            "socket_connect_timeout": settings.redis_connect_seconds,
            "socket_timeout": settings.redis_read_seconds,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "protocol": 2,
        }
        self._connection: Any = _CLASSES[urlsplit(url).scheme](**options)
        self._lock = threading.RLock()
        self._clock = (0.0, 0.0)
        signer = settings.trust.signer
        self.stamp = None if signer is None else Stamp(signer, self.now)
        """Signs what is written here, where it is signed."""

    @property
    def run_id(self) -> str:
        """The server's ``run_id``; connects when there is no connection."""
        with self._lock:
            if not self._connection.is_connected:
                self._connection.connect()
            return cast(str, self._connection.run_id)

    def command(self, *words: Word) -> Any:
        """The answer to one command."""
        return self.pipeline([words])[0]

    def script(self, name: str, keys: Sequence[str], head: Sequence[Word], tail: Sequence[Word]) -> list[Any]:
        """Run one of ``pointsman_contract.lua``; its arguments are ``head``, this connection's run_id, ``tail``."""
        return self.scripts(name, [(keys, head, tail)])[0]

    def scripts(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Word], Sequence[Word]]]
    ) -> list[list[Any]]:
        """Run one script many times in one round trip."""
        run_id = self.run_id
        digest = _digest(name)
        words = [("EVALSHA", digest, len(keys), *keys, *head, run_id, *tail) for keys, head, tail in calls]
        try:
            return self.pipeline(words)
        except NoScriptError:
            self.command("SCRIPT", "LOAD", source(name))
            return self.pipeline(words)

    def pipeline(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The answers to several commands sent together; raises the first error after all answers were read."""
        with self._lock:
            return self._exchange(commands)

    def _exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        connection = self._connection
        if not connection.is_connected:
            connection.connect()
        refused: ResponseError | None = None
        answers: list[Any] = []
        try:
            packed = b"".join(pack_command(tuple(words)) for words in commands)  # type: ignore[arg-type]  # any length
            connection.send_packed_command([packed], check_health=False)
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except ResponseError as error:
                    refused = refused or error
                    answers.append(None)
        except BaseException:
            # An answer may still be on its way: this connection cannot be used again.
            connection.disconnect()
            raise
        if refused is not None:
            raise refused
        return answers

    def now(self) -> float:
        """Unix seconds on the clock of Redis, which is asked every ten seconds."""
        asked_at, ahead = self._clock
        now = time.monotonic()
        if not asked_at or now - asked_at > _CLOCK_SECONDS:
            seconds, micros = self.command("TIME")
            ahead = int(seconds) + int(micros) / 1e6 - time.monotonic()
            self._clock = (now, ahead)
        return time.monotonic() + ahead

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._clock = (0.0, 0.0)
        with self._lock:
            self._connection.disconnect()
