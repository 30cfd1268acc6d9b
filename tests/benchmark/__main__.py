"""``python -m tests.benchmark NAME``: the benchmarks by name. ``./scripts/bench`` calls this."""

import argparse
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.benchmark import drain, intake, worker
from tests.benchmark.report import Report

_BENCHES: dict[str, tuple[Callable[[bool], Report], str]] = {
    "intake": (intake.run, "submissions a second over HTTP, beside celery.send_task in one's own process"),
    "drain": (drain.run, "no-op tasks a second through four worker processes, beside bare Celery"),
    "worker": (worker.run, "a worker node's time to its first task, and its memory over 100,000"),
}
_LAYOUT = "store-layout"


def main() -> None:
    """The command line. A missed target is printed and is no error: the machine may have been busy."""
    if sys.argv[1:2] == [_LAYOUT]:
        del sys.argv[1]
        runpy.run_module("tests.benchmark.store_layout", run_name="__main__", alter_sys=True)
        return
    names = [*(f"  {name:<13} {about}" for name, (_, about) in _BENCHES.items()), f"  {_LAYOUT:<13} see its --help"]
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Each bench runs both sides interleaved on one PostgreSQL and one Valkey of its own; ratios count, "
        "rates depend on the machine.",
        epilog="\n".join(["benches:", *names]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*_BENCHES, _LAYOUT], metavar="NAME", help="see below")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, about two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round, medians and ratios there")
    # scripts/bench changes the directory; a relative FILE still means where the user stood.
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    # As an exception, so that servers are stopped and directories removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run, _ = _BENCHES[given.name]
    before = psutil.cpu_times()
    report = run(given.quick)
    print(report.table())
    print(f"the machine gave {_stolen(before, psutil.cpu_times()):.0%} of its time to others than this system")
    if given.json is not None:
        report.write(given.relative_to / given.json)


def _stolen(before: Any, after: Any) -> float:
    """The share of CPU time that a hypervisor gave to others; 0 where the system does not say."""
    taken = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    return float(taken / max(sum(after) - sum(before), 1e-9))


if __name__ == "__main__":
    main()
