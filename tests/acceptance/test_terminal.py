"""``pointsman top`` in a pseudo-terminal, and an emulator that reads what it writes, beside a real installation."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from pointsman_client.place import Place
from pointsman_client.top.looking import Exit
from pointsman_client.top.watching import Watcher
from tests.acceptance.screen import Terminal
from tests.stand.environment import ROOT
from tests.stand.stack import Stack
from tests.stand.waiting import until
from tests.torture.proxy import Proxy

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
Seen = TypeVar("Seen")

MONITOR = [str(ROOT / "scripts" / "celery_workers.sh"), "monitor"]
WITHOUT_TEXTUAL = [
    sys.executable,
    "-c",
    "import sys; sys.modules['textual'] = None; from pointsman_client.command import main; sys.exit(main(['top']))",
]
WATCHED_SECONDS = 2.0
MAX_BYTES_A_SECOND = 20_000
MAX_SHARE = 0.05


def environment(stack: Stack, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of somebody at a terminal, who was told where the API is."""
    return {
        **stack.environment,
        "POINTSMAN_URL": stack.url,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        **(more or {}),
    }


async def at(
    stack: Stack, words: list[str], person: Callable[[Terminal], Seen], more: Mapping[str, str] | None = None
) -> Seen:
    """What a person at that program's terminal sees; it is left with ``q``."""

    def sit() -> Seen:
        terminal = Terminal(words, environment(stack, more), ROOT)
        try:
            found = person(terminal)
        finally:
            ended = terminal.leave()
        assert ended.status == 0, ended.text[-2000:]
        return found

    return await asyncio.to_thread(sit)


def once(stack: Stack, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MONITOR, *words], env=environment(stack, {"POINTSMAN_URL": url or stack.url}), capture_output=True, text=True
    )


async def test_one_look_is_what_the_api_says_and_its_exit_status_how_it_is(stack: Stack) -> None:
    told, written = await asyncio.gather(
        asyncio.to_thread(once, stack, "--once", "--json"), asyncio.to_thread(once, stack, "--once")
    )
    look = json.loads(told.stdout)
    assert look["verdict"] == look["now"]["verdict"]
    assert told.returncode == (Exit.HEALTHY if look["verdict"] == "healthy" else Exit.DEGRADED)
    assert [worker["name"].partition("@")[0] for worker in look["workers"] if worker["live"]] == ["acceptance"]
    # Nobody sits at it: no colours, and nothing that moves a cursor.
    assert "\x1b" not in written.stdout
    assert all(queue["name"] in written.stdout for queue in look["now"]["queues"])
    assert "1 live" in written.stdout


async def test_one_look_at_nothing_is_unreachable(stack: Stack) -> None:
    gone = await asyncio.to_thread(once, stack, "--once", url="http://127.0.0.1:9")
    assert (gone.returncode, gone.stdout.strip()) == (2, "✖ UNREACHABLE  http://127.0.0.1:9: connection refused")


async def test_a_person_finds_what_failed_and_acts_on_it_with_the_keys_alone(stack: Stack) -> None:
    failed = await stack.submit("ledger.flaky", args=[9], max_attempts=1, queue="email")
    assert (await stack.finished(failed))["state"] == "failed"
    later = await stack.submit("ledger.write", delay_seconds=3600, queue="email")

    def person(terminal: Terminal) -> None:
        terminal.shows("[1 Now]", "critical", "workers   1 live", "as of")
        assert all(len(line) <= 80 for line in terminal.lines)
        terminal.press("2")
        terminal.shows("[2 Tasks]", "ledger.flaky")
        terminal.press("/failed queue:email type:ledger.flaky\r")
        terminal.shows("only: failed queue:email", "✖ failed")
        terminal.press("\r")
        terminal.shows("It failed at", "ConnectionError: attempt 1", failed)
        terminal.press("\x1b[F")
        terminal.shows("Traceback (most recent call last):", "arguments")
        terminal.press("R")
        terminal.shows(f"Run {failed} again?", "1 task, ledger.flaky, failed")
        terminal.press("the bank is back\r")
        terminal.shows("It runs again as a new task.", "ran again as")
        terminal.press("\x1b")
        terminal.until(lambda text: "submitted task type" in text, "the list")
        terminal.press("/scheduled queue:email\r")
        terminal.shows("○ scheduled", "only: scheduled queue:email")
        terminal.press("C")
        terminal.shows(f"Cancel {later}?", "That cannot be undone")
        terminal.press("a mistake\r")
        terminal.shows("It is being cancelled.")

    await at(stack, MONITOR, person)
    assert (await stack.task(later))["state"] == "cancelled"
    again = (await stack.task(failed))["replayed_as"]
    assert again is not None
    await stack.finished(again)


async def test_a_queue_is_paused_and_goes_on_with_a_capital_letter_and_a_reason(stack: Stack) -> None:
    def person(terminal: Terminal) -> None:
        terminal.shows("critical", "as of")
        terminal.press("3jP")
        terminal.shows("[3 Queues]", "Pause high_priority?")
        terminal.press("provider moves\r")
        terminal.shows("high_priority is paused.", "▲ paused")
        terminal.press("P")
        terminal.shows("Let high_priority go on?", "provider moves")
        terminal.press("they have moved\r")
        terminal.until(lambda text: "high_priority goes on." in text and "paused" not in text, "it to go on")

    await at(stack, MONITOR, person)
    assert (await stack.http.get("/v1/queues/high_priority")).json()["paused"] is False


@pytest.mark.parametrize("words", [MONITOR, WITHOUT_TEXTUAL], ids=["with-textual", "with-rich-alone"])
async def test_a_live_terminal_writes_little_and_takes_next_to_nothing(stack: Stack, words: list[str]) -> None:
    def person(terminal: Terminal) -> tuple[float, float]:
        terminal.shows("critical", "as of", "workers   1 live")
        process = psutil.Process(terminal.program.pid)
        began, bytes_before, cpu_before = time.monotonic(), len(terminal.program.written), sum(process.cpu_times()[:2])
        seen = terminal.text
        while time.monotonic() < began + WATCHED_SECONDS:
            terminal.program.read_until(began + WATCHED_SECONDS)
        terminal.until(lambda text: text != seen, "another second")
        seconds = time.monotonic() - began
        return (len(terminal.program.written) - bytes_before) / seconds, (
            sum(process.cpu_times()[:2]) - cpu_before
        ) / seconds

    tasks = [asyncio.create_task(stack.submit("ledger.write", queue="reports")) for _ in range(50)]
    written, share = await at(stack, words, person)
    await asyncio.gather(*tasks)
    assert 0 < written <= MAX_BYTES_A_SECOND
    assert share <= MAX_SHARE


async def test_the_bell_of_the_api_makes_a_terminal_look_before_its_time(stack: Stack) -> None:
    """While nothing happens two looks lie two seconds and a half apart."""
    looks: list[float] = []
    watcher = Watcher(Place(stack.url), lambda: looks.append(time.monotonic()))

    async def lay_apart(least: float, most: float) -> bool:
        return watcher.seen.connection.streaming and any(
            least <= after - before <= most for before, after in itertools.pairwise(looks[-2:])
        )

    async def rung() -> bool:
        task_id = await stack.submit("ledger.write", queue="reports")
        assert (await stack.finished(task_id))["state"] == "succeeded"
        return await lay_apart(0.0, 2.0)

    watcher.start()
    try:
        await until(lambda: lay_apart(2.4, 60.0), "two looks with nothing between them")
        await until(rung, "the bell to be heard")
    finally:
        await asyncio.to_thread(watcher.stop)


async def test_a_lost_api_is_said_and_found_again_by_itself(stack: Stack) -> None:
    """By the rudest loss: its connections stay, new ones are taken, and nothing is answered."""
    with Proxy.to_port(stack.port) as proxy:

        def person(terminal: Terminal) -> str:
            terminal.shows("critical", "as of")
            proxy.freeze()
            lost = terminal.shows("UNREACHABLE", "No answer for", "no answer in time", "Tried again in")
            proxy.go_on()
            terminal.until(lambda text: "UNREACHABLE" not in text and "No answer" not in text, "it to be back")
            return lost

        lost = await at(stack, MONITOR, person, {"POINTSMAN_URL": f"http://127.0.0.1:{proxy.port}"})
    assert "critical" in lost
    assert "ago)" in lost


async def test_without_colours_without_utf8_and_in_another_size_it_says_the_same(stack: Stack) -> None:
    def person(terminal: Terminal) -> tuple[str, bytes]:
        terminal.shows("[1 Now]", "critical", "* ok")
        terminal.resize(120, 30)
        terminal.until(lambda text: "because" not in text and "Pointsman  [1 Now]" in text, "a wider drawing")
        return terminal.text, terminal.program.written

    plain = {"NO_COLOR": "1", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text, written = await at(stack, MONITOR, person, plain | {"PYTHONIOENCODING": "ascii"})
    assert text.isascii(), text
    for colour in (b"\x1b[31m", b"\x1b[32m", b"\x1b[1;31m", b"38;2;", b"38;5;"):
        assert colour not in written


async def test_a_dumb_terminal_gets_one_look_in_plain_text(stack: Stack) -> None:
    def sit() -> str:
        terminal = Terminal(MONITOR, environment(stack, {"TERM": "dumb"}), Path(os.sep))
        ended = terminal.program.wait_end(60)
        assert ended.status in (Exit.HEALTHY, Exit.DEGRADED)
        assert b"\x1b" not in terminal.program.written
        return ended.text

    assert "critical" in await asyncio.to_thread(sit)
