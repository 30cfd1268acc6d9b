"""``python -m tests.benchmark NAME``: the benchmarks by name. ``./scripts/bench`` calls this."""

import argparse
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmark import drain, intake
from tests.benchmark.report import Report

_BENCHES: dict[str, tuple[Callable[[bool], Report], str]] = {
    "intake": (intake.run, "submissions a second over HTTP, beside celery.send_task in one's own process"),
    "drain": (drain.run, "no-op tasks a second through four worker processes, beside bare Celery"),
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
    parser.add_argument("--quick", action="store_true", help="three short rounds, about two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round, medians and ratios there")
    # scripts/bench changes the directory; a relative FILE still means where the user stood.
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    run, _ = _BENCHES[given.name]
    report = run(given.quick)
    print(report.table())
    if given.json is not None:
        report.write(given.relative_to / given.json)


if __name__ == "__main__":
    main()
