"""``python -m tests.benchmark.socket_load URL BODY_FILE CONNECTIONS SECONDS [KEY_FILE]``: load for machines without
``wrk``.

Every connection asks again as soon as it is answered; what is under way at the end is waited for. Prints one line of
JSON.
"""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

import uvloop

from tests.benchmark.http_connection import Connection, post


class _Load:
    def __init__(self) -> None:
        self._until = 0.0
        self._asked_at: dict[Connection, float] = {}
        self.waits: list[float] = []
        self.refused = 0

    async def run(self, url: str, body: bytes, connections: int, seconds: float, token: str | None) -> dict[str, float]:
        since = time.perf_counter()
        self._until = since + seconds
        made = [await Connection.opened(url, post(url, body, token), self._answered) for _ in range(connections)]
        for connection in made:
            self._ask(connection)
        await asyncio.gather(*(connection.closed for connection in made))
        took = time.perf_counter() - since
        cuts = statistics.quantiles(self.waits, n=100) if len(self.waits) > 1 else [0.0] * 99
        return {
            "answered": len(self.waits),
            "refused": self.refused,
            "failed": len(self._asked_at),
            "seconds": took,
            "p50_ms": 1000 * cuts[49],
            "p99_ms": 1000 * cuts[98],
        }

    def _ask(self, connection: Connection) -> None:
        self._asked_at[connection] = time.perf_counter()
        connection.ask()

    def _answered(self, connection: Connection, accepted: bool) -> None:
        now = time.perf_counter()
        self.waits.append(now - self._asked_at.pop(connection))
        self.refused += not accepted
        if now < self._until:
            self._ask(connection)
        else:
            connection.close()


if __name__ == "__main__":
    url, path, connections, seconds, *key = sys.argv[1:]
    token = Path(key[0]).read_text(encoding="ascii") if key else None
    print(json.dumps(uvloop.run(_Load().run(url, Path(path).read_bytes(), int(connections), float(seconds), token))))
