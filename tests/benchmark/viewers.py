"""Many who look at pages of the dashboard, in a process of their own.

``python -m tests.benchmark.viewers HOST PORT PATH=COUNT ...``: each asks for its page as a browser of its own and opens
the stream of it. Prints ``looking`` once each has heard that its page is live, reads until its standard input ends, and
prints one line of JSON.
"""

import asyncio
import html
import json
import re
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urljoin

from pointsman_service.dashboard.links import ROOT

WARM_UP_SECONDS = 1.0
_STEP_SECONDS = 0.02
_LARGEST = 16 * 1024 * 1024
_STREAM = re.compile(rb'hx-sse:connect="([^"]+)"')
_COOKIE = re.compile(rb"(?im)^set-cookie: *([^;\r]+)")
_ROW = re.compile(r'<tr id="task-([0-9a-f-]{36})">(.*?)</tr>', re.DOTALL)
_ENDED = re.compile(r"\b(?:succeeded|failed|cancelled|expired)\b")


@dataclass
class _Viewer:
    """What one saw: each chunk with its moment. What it says is read afterwards."""

    path: str
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: list[tuple[float, bytes]] = field(default_factory=list)


async def _look(host: str, port: int, viewer: _Viewer) -> None:
    where = f"{ROOT}/{viewer.path}"
    reader, writer = await asyncio.open_connection(host, port, limit=_LARGEST)
    writer.write(f"GET {where} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    page = await reader.read()
    writer.close()
    stream, cookie = _STREAM.search(page), _COOKIE.search(page)
    if stream is None or cookie is None:
        raise SystemExit(f"{where} is no page that is live: {page[:300]!r}")
    target = urljoin(where, html.unescape(stream[1].decode()))
    reader, writer = await asyncio.open_connection(host, port, limit=_LARGEST)
    head = f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie[1].decode()}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in answer.partition(b"\r\n")[0] or b"text/event-stream" not in answer:
        raise SystemExit(f"{where} has no stream for one more: {answer!r}")
    while size := int(await reader.readuntil(b"\r\n"), 16):
        data = await reader.readexactly(size + 2)
        viewer.arrived.append((time.time(), data[:-2]))
        if b"event: beat" in data:
            viewer.begun.set()


@dataclass(frozen=True)
class _Said:
    """What one chunk says."""

    recorded: float | None
    """Up to when is recorded."""
    rows: Mapping[str, bool]
    """Tasks of a list, and whether each has ended."""


def _read(data: bytes) -> _Said:
    recorded, rows = None, {}
    for event in data.decode().replace("\r\n", "\n").split("\n\n"):
        lines = event.split("\n")
        said = "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:"))
        if "event: beat" in lines:
            moment = json.loads(said).get("recorded")
            recorded = recorded if moment is None else datetime.fromisoformat(moment).timestamp()
        elif said:
            rows = {found[1]: _ENDED.search(found[2]) is not None for found in _ROW.finditer(said)}
    return _Said(recorded, rows)


@dataclass
class _Heard:
    messages: int = 0
    size: int = 0
    waits: list[float] = field(default_factory=list)
    """From moments to when a page said that it has everything up to there."""
    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each viewer of a list first saw a task."""
    ended: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """And first saw that it has ended."""


def _heard(viewers: Sequence[_Viewer], since: float) -> dict[str, _Heard]:
    by_path: dict[str, _Heard] = defaultdict(_Heard)
    read: dict[bytes, _Said] = {}
    for viewer in viewers:
        heard = by_path[viewer.path]
        recorded: list[tuple[float, float]] = []
        seen: set[str] = set()
        ended: set[str] = set()
        for at, data in viewer.arrived:
            heard.messages += 1
            heard.size += len(data)
            if data not in read:
                # The same for all who look at the same.
                read[data] = _read(data)
            said = read[data]
            if said.recorded is not None and (not recorded or said.recorded > recorded[-1][0]):
                recorded.append((said.recorded, at))
            for task, has_ended in said.rows.items():
                if task not in seen:
                    seen.add(task)
                    heard.seen[task].append(at)
                if has_ended and task not in ended:
                    ended.add(task)
                    heard.ended[task].append(at)
        heard.waits += _waits(recorded, since + WARM_UP_SECONDS)
    return by_path


def _waits(recorded: Sequence[tuple[float, float]], since: float) -> list[float]:
    """For each moment since then, one fiftieth of a second after the other, how long it took until it was recorded and
    on the page. ``recorded``: pairs of up to when is recorded and when that was said, both rising.
    """
    found, moment = [], since
    while (place := bisect_left(recorded, (moment,))) < len(recorded):
        found.append(recorded[place][1] - moment)
        moment += _STEP_SECONDS
    return found


async def _main(host: str, port: int, wanted: Mapping[str, int]) -> None:
    viewers = [_Viewer(path) for path, count in wanted.items() for _ in range(count)]
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(_look(host, port, one)) for one in viewers]
    for one, task in zip(viewers, tasks, strict=True):
        beginning = asyncio.create_task(one.begun.wait())
        await asyncio.wait([beginning, task], return_when=asyncio.FIRST_COMPLETED)
        if not beginning.done():
            beginning.cancel()
            task.result()
            raise SystemExit(f"a viewer of {one.path!r} was cut off")
    since = time.time()
    print("looking", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    cut_off = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    found = {
        path: {
            "messages": heard.messages,
            "bytes": heard.size,
            "waits": [round(one, 4) for one in sorted(heard.waits)],
            "seen": heard.seen,
            "ended": heard.ended,
        }
        for path, heard in _heard(viewers, since).items()
    }
    print(json.dumps({"since": since, "seconds": time.time() - since, "cut_off": cut_off, "pages": found}), flush=True)


if __name__ == "__main__":
    asyncio.run(
        _main(
            sys.argv[1],
            int(sys.argv[2]),
            {path: int(count) for path, _, count in (one.rpartition("=") for one in sys.argv[3:])},
        )
    )
