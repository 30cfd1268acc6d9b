"""``python -m tests.benchmark NAME``: the benchmarks by name. ``./scripts/bench`` calls this."""

import argparse
import importlib
import runpy
import signal
import sys
from pathlib import Path
from typing import Any, cast

import psutil

from tests.benchmark.report import Report
from tests.benchmark.rounds import LONGEST_HISTORY_SECONDS, LONGEST_SECONDS
from tests.stand.signals import hear_signals

_BENCHES = {
    "intake": "submissions a second over HTTP, beside send_task, Flower, Procrastinate and what one writes oneself",
    "drain": "no-op tasks a second through four worker processes, beside bare Celery and Procrastinate",
    "latency": "from submitted to started when idle; the wait for the 202 at half of the most it takes",
    "stages": "what each stage of a submission costs the API process, µs of CPU",
    "sla": "queue wait of critical tasks while 20,000 others wait",
    "fairness": "queue wait of ten tasks of one caller while 100,000 of another wait, beside that of ten alone",
    "memory": "memory of the API process over 500,000 submissions",
    "worker": "a worker node's time to its first task, and its memory over 100,000",
    "recorder": "tasks a second that one recorder writes down, and what each costs it and PostgreSQL",
    "idle": "CPU, statements and Redis commands a second of an installation with nothing to do, one and three replicas",
    "predict": "how often predicted waits hold, over 20,000 tasks of changing load; --fault: half of the workers die",
    "history": "what each call costs with ten million ended tasks and a million that wait, beside ten thousand",
    "pages": "the dashboard with the same history: each page, what a browser is sent, what fifty viewers cost",
    "live": "from an event to its listeners at a thousand events a second; intake with 500 of them beside none",
    "compare": "intake and drain of this checkout beside those of another, the one before a change",
    "secrecy": "what signatures and encryption cost each process, µs of CPU; no server, within a minute",
    "guarded": "intake and drain with keys, limits and fairness, beside the same without",
    "soak": "everything at 60 % of the most it does, for half an hour: a line for each figure, drawn to a PNG",
}
_LAYOUT = "store-layout"
_SOAK = "soak"
_PREDICT = "predict"
_COMPARE = "compare"
_HISTORY = "history"
_PAGES = "pages"
_FILLED = (_HISTORY, _PAGES)
"""Those that begin with a long history."""
_HISTORY_TASKS = 10_000_000
_QUICK_HISTORY_TASKS = 1_000_000
_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """The command line. A missed target is printed and is no error: the machine may have been busy."""
    if sys.argv[1:2] == [_LAYOUT]:
        del sys.argv[1]
        runpy.run_module("tests.benchmark.store_layout", run_name="__main__", alter_sys=True)
        return
    given = _arguments()
    # As exceptions, so that servers are stopped and directories removed.
    hear_signals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    longest = LONGEST_HISTORY_SECONDS if given.name in _FILLED else LONGEST_SECONDS
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"{given.name} did not end in {longest / 60:.0f} min"))
    before = psutil.cpu_times()
    report = _run(given)
    signal.alarm(0)
    print(report.table())
    print(f"the machine gave {_stolen(before, psutil.cpu_times()):.0%} of its time to others than this system")
    if given.json is not None:
        report.write(given.relative_to / given.json)


def _arguments() -> argparse.Namespace:
    names = [*(f"  {name:<13} {about}" for name, about in _BENCHES.items()), f"  {_LAYOUT:<13} see its --help"]
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Each bench runs all its sides in turn, on one PostgreSQL and one Valkey of its own, and ends "
        "within 12 minutes (history, pages: 20; soak: when it was told to). Ratios count; rates depend on the machine.",
        epilog="\n".join(["benches:", *names]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*_BENCHES, _LAYOUT], metavar="NAME", help="see below")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, about two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round, medians and ratios there")
    parser.add_argument("--minutes", type=_minutes, help="soak: how long (default 30, 2 when quick)")
    parser.add_argument("--png", type=Path, metavar="FILE", help="soak: draw there (default soak.png)")
    parser.add_argument(
        "--tasks", type=_tasks, help="history, pages: ended tasks (default 10,000,000, a tenth when quick)"
    )
    parser.add_argument("--with", dest="other", type=Path, metavar="DIRECTORY", help="compare: the other checkout")
    parser.add_argument("--fault", action="store_true", help="predict: half of the workers die, then all")
    # scripts/bench changes the directory; a relative FILE still means where the user stood.
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.name != _SOAK and (given.minutes is not None or given.png is not None):
        parser.error(f"--minutes and --png are for {_SOAK}")
    if given.fault and given.name != _PREDICT:
        parser.error(f"--fault is for {_PREDICT}")
    if given.name not in _FILLED and given.tasks is not None:
        parser.error(f"--tasks is for {' and '.join(_FILLED)}")
    if (given.name == _COMPARE) is not (given.other is not None):
        parser.error(f"--with is for {_COMPARE}, and {_COMPARE} needs it")
    if given.other is not None and not (given.relative_to / given.other / "alembic.ini").is_file():
        parser.error(f"{given.other}: there is no checkout")
    for file in (given.json, given.png):
        if file is not None and not (given.relative_to / file).parent.is_dir():
            parser.error(f"{file}: there is no such directory")
    return given


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.5 <= minutes <= 24 * 60:
        raise argparse.ArgumentTypeError("half a minute to a day")
    return minutes


def _tasks(text: str) -> int:
    tasks = int(text.replace("_", "").replace(",", ""))
    if not 100_000 <= tasks <= 100_000_000:
        raise argparse.ArgumentTypeError("a hundred thousand to a hundred million")
    return tasks


def _run(given: argparse.Namespace) -> Report:
    # Only now: a bench imports the peers, and --help must not need them.
    module = importlib.import_module(f"tests.benchmark.{given.name}")
    if given.name == _SOAK:
        minutes = given.minutes or (2.0 if given.quick else 30.0)
        return cast(Report, module.run(minutes, given.relative_to / (given.png or "soak.png")))
    signal.alarm(int(LONGEST_HISTORY_SECONDS if given.name in _FILLED else LONGEST_SECONDS))
    if given.name in _FILLED:
        return cast(Report, module.run(given.quick, given.tasks or _default_tasks(given.quick)))
    if given.name == _COMPARE:
        return cast(Report, module.run(given.quick, (given.relative_to / given.other).resolve()))
    if given.name == _PREDICT:
        return cast(Report, module.run(given.quick, given.fault))
    return cast(Report, module.run(given.quick))


def _default_tasks(quick: bool) -> int:
    return _QUICK_HISTORY_TASKS if quick else _HISTORY_TASKS


def _stolen(before: Any, after: Any) -> float:
    """The share of CPU time that a hypervisor gave to others; 0 where the system does not say."""
    taken = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    return float(taken / max(sum(after) - sum(before), 1e-9))


if __name__ == "__main__":
    main()
