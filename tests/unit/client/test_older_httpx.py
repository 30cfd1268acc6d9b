"""Where httpx2 was taken away, httpx does."""

import subprocess
import sys
import threading

from tests.unit.client.scripted import RESET, answer, problem, scripted
from tests.unit.client.served import talking

CODE = """
import asyncio, sys

sys.modules["httpx2"] = sys.modules["httpcore2"] = None

from pointsman_client import AsyncClient, Client, DeadlineOver, NeverSent

url, silent = sys.argv[1:]
with Client(url) as client:
    print(client.tasks.submit("echo", 1).id)
    for event in client.tasks.stream("t-1"):
        print(event.name)
for place in ("http://127.0.0.1:9", silent):
    try:
        Client(place, timeout=0.3).tasks.get("t-1")
    except (NeverSent, DeadlineOver) as error:
        print(error)


async def main():
    async with AsyncClient(url) as client:
        print((await client.tasks.submit("echo", 1)).id)
    try:
        async with AsyncClient(silent, timeout=0.3) as client:
            await client.tasks.get("t-1")
    except DeadlineOver as error:
        print(error)


asyncio.run(main())
assert "httpx" in sys.modules and "httpcore" in sys.modules
"""
TASK = {"id": "t-1", "task_type": "echo", "state": "queued"}
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: task\ndata: {}\n\nevent: end\ndata: {}\n\n"


def _stay_silent(over: threading.Event) -> None:
    over.wait(60)


def test_calls_streams_and_deadlines_are_the_same() -> None:
    lost = (RESET, problem("unavailable", 503), answer(202, TASK))
    with scripted(*lost, EVENTS, *lost) as api, talking(lambda _, over: _stay_silent(over)) as silent:
        words = [sys.executable, "-W", "ignore::ResourceWarning", "-c", CODE, api.url, silent.url]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr == ""
    assert ran.stdout.split("\n") == ["t-1", "task", "end", "connection refused", "no answer in time", "t-1",
                                      "no answer in time", ""]  # fmt: skip
    assert len({*api.keys()} - {""}) == 2
