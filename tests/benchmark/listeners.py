"""Many listeners to one stream of events, in a process of their own.

``python -m tests.benchmark.listeners HOST PORT COUNT``: prints ``listening`` once each has its first event, reads until
its standard input ends, and prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime

_PATH = "/v1/tasks/events"
_STATE_SINCE = {"queued": "submitted_at", "running": "started_at"}
_WARM_UP_SECONDS = 1.0


@dataclass
class _Heard:
    messages: int = 0
    size: int = 0
    left_out: int = 0
    seconds: list[float] = field(default_factory=list)
    """From each event to each listener."""


async def _listen(host: str, port: int, begun: asyncio.Event, arrived: list[tuple[float, bytes]]) -> None:
    """Note each chunk with its moment: what it says is read afterwards."""
    reader, writer = await asyncio.open_connection(host, port, limit=16 * 1024 * 1024)
    writer.write(f"GET {_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise SystemExit(f"a listener was not let in: {head!r}")
    while size := int(await reader.readuntil(b"\r\n"), 16):
        data = await reader.readexactly(size + 2)
        arrived.append((time.time(), data))
        begun.set()


def _heard(arrivals: list[list[tuple[float, bytes]]], since: float) -> _Heard:
    heard, read = _Heard(), dict[bytes, tuple[list[float], int]]()
    for arrived in arrivals:
        for at, data in arrived:
            if not data.startswith(b"event: tasks") or at < since + _WARM_UP_SECONDS:
                continue
            heard.messages += 1
            heard.size += len(data)
            # The same for all who follow the same.
            if data not in read:
                read[data] = _read(data)
            moments, left_out = read[data]
            heard.left_out += left_out
            heard.seconds += [at - moment for moment in moments]
    return heard


def _read(data: bytes) -> tuple[list[float], int]:
    told = json.loads(data.partition(b"data: ")[2])
    moments = [
        datetime.fromisoformat(change[_STATE_SINCE.get(change["state"], "finished_at")]).timestamp()
        for change in told["changes"]
    ]
    return moments, told["left_out"]


async def _main(host: str, port: int, count: int) -> None:
    begun = [asyncio.Event() for _ in range(count)]
    arrivals: list[list[tuple[float, bytes]]] = [[] for _ in range(count)]
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(_listen(host, port, one, arrived)) for one, arrived in zip(begun, arrivals, strict=True)
    ]
    for one, task in zip(begun, tasks, strict=True):
        beginning = asyncio.create_task(one.wait())
        await asyncio.wait([beginning, task], return_when=asyncio.FIRST_COMPLETED)
        if not beginning.done():
            raise SystemExit("a listener was cut off")
    since = time.time()
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    heard = _heard(arrivals, since)
    found = sorted(heard.seconds)
    print(
        json.dumps(
            {
                "messages": heard.messages,
                "bytes": heard.size,
                "left_out": heard.left_out,
                "told": len(found),
                "cut_off": len(ended),
                "p50": found[len(found) // 2] if found else 0.0,
                "p95": found[len(found) * 95 // 100] if found else 0.0,
                "cpu": time.process_time(),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
