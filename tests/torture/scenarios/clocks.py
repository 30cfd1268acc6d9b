"""The clock of one process jumps."""

import os
from pathlib import Path

from tests.torture.installation import Plan
from tests.torture.scenario import Run, Skipped, scenario
from tests.torture.verdict import Harm

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


def _library() -> Path:
    named = os.environ.get("LIBFAKETIME")
    for path in filter(None, (named, *_LIBRARIES)):
        if Path(path).exists():
            return Path(path)
    raise Skipped("needs libfaketime: apt-get install libfaketime")


def _has_library() -> None:
    _library()


@scenario("24", Harm.NONE, Plan(services=("all", "all")), needs=_has_library)
async def clock_jumps(run: Run) -> None:
    """The clock of a service process and of a worker node is an hour ahead, then an hour behind."""
    for jump in ("+3600", "-3600"):
        for child in (run.stack.services[0], run.stack.nodes[0]):
            await child.stop()
            child.start(
                LD_PRELOAD=str(_library()), FAKETIME=jump, FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1"
            )
        await run.stack.ready()
        due = await run.stack.submit("torture.effect", delay_seconds=2)
        row = await run.stack.finished(due)
        run.demand(row["queue_wait_seconds"] < 30, f"a delay of 2 s waited {row['queue_wait_seconds']:.0f} s more")
        await run.load.last(run.seconds / 2)
    for child in (run.stack.services[0], run.stack.nodes[0]):
        await child.stop()
        child.start()
    await run.stack.ready()
