"""The clock of one process jumps."""

import shutil
import subprocess
from pathlib import Path

from tests.torture.installation import Plan
from tests.torture.scenario import Run, Skipped, scenario
from tests.torture.verdict import Harm

_SOURCE = Path(__file__).parents[1] / "shifted_clock.c"
_HOUR_SECONDS = 3600


def _has_compiler() -> None:
    if shutil.which("cc") is None:
        raise Skipped("needs a C compiler: apt-get install gcc libc6-dev")


def _compiled(directory: Path) -> Path:
    library = directory / "shifted_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
    return library


@scenario("24", Harm.NONE, Plan(services=("all", "all")), needs=_has_compiler)
async def clock_jumps(run: Run) -> None:
    """The clock of a service process and of a worker node is an hour ahead, then an hour behind."""
    library = _compiled(run.directory)
    victims = (run.stack.services[0], run.stack.nodes[0])
    for seconds in (_HOUR_SECONDS, -_HOUR_SECONDS):
        for child in victims:
            await child.stop()
            child.start(LD_PRELOAD=str(library), SHIFTED_CLOCK_SECONDS=str(seconds))
        await run.stack.ready()
        due = await run.stack.submit("torture.effect", delay_seconds=2)
        row = await run.stack.finished(due)
        run.demand(row["queue_wait_seconds"] < 60, f"a delay of 2 s waited {row['queue_wait_seconds']:.0f} s more")
        await run.load.last(run.seconds / 2)
    for child in victims:
        await child.stop()
        child.start()
    await run.stack.ready()
