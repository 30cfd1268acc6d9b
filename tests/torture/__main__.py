"""``python -m tests.torture``: the fault list against a whole installation under load."""

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.stand.signals import hear_signals
from tests.torture.scenario import SCENARIOS, Result, Scenario, run
from tests.torture.scenarios import load_all
from tests.torture.servers import Servers

_SHORT = "short"


def main() -> None:
    """The command line. Exits 1 when something does not hold, 2 on bad arguments."""
    load_all()
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description="Break a running installation under load and check that every promise holds.",
    )
    parser.add_argument(
        "--scenario",
        default="all",
        metavar="NAME",
        help="names with commas between, all, short (some, at random), list",
    )
    parser.add_argument("--seed", type=int, help="decides every random choice; drawn and printed when not given")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long a fault lasts, where it lasts")
    parser.add_argument("--budget-seconds", type=float, help="with short: begin no scenario after so long")
    parser.add_argument("--full", action="store_true", help="the long form of what is shortened otherwise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--logs", type=Path, metavar="DIRECTORY", help="keep what the processes of a broken one said there"
    )
    given = parser.parse_args()
    if given.scenario == "list":
        for one in SCENARIOS.values():
            print(f"{one.name:<34} row {one.rows:<8} {one.does}")
        return
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    chosen = _chosen(parser, given.scenario, seed)
    hear_signals()
    # As an exception, so that servers are stopped and directories removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {seed}", flush=True)
    results = asyncio.run(_run_all(chosen, seed, given.seconds, given.full, given.budget_seconds, given.logs))
    if given.json is not None:
        document = {"seed": seed, "scenarios": [result.as_json() for result in results]}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    skipped = [result for result in results if result.skipped is not None]
    broken = [result for result in results if result.skipped is None and not result.ok]
    print(
        f"{len(results) - len(broken) - len(skipped)} held, {len(broken)} broken, {len(skipped)} skipped; "
        f"accepted {sum(result.accepted for result in results)}, lost {sum(result.lost for result in results)}; "
        f"seed {seed}"
    )
    if broken or (skipped and os.environ.get("POINTSMAN_CI") == "1"):
        sys.exit(1)


def _chosen(parser: argparse.ArgumentParser, names: str, seed: int) -> Sequence[Scenario]:
    if names == "all":
        return list(SCENARIOS.values())
    if names == _SHORT:
        every = list(SCENARIOS.values())
        random.Random(f"{seed}/order").shuffle(every)
        return every
    unknown = [name for name in names.split(",") if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; see --scenario list")
    return [SCENARIOS[name] for name in names.split(",")]


async def _run_all(
    chosen: Sequence[Scenario], seed: int, seconds: float, full: bool, budget_seconds: float | None, logs: Path | None
) -> list[Result]:
    results = []
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-torture-") as directory,
        Servers.running(Path(directory)) as all_,
    ):
        await all_.make_template()
        for one in chosen:
            if budget_seconds is not None and time.monotonic() - began > budget_seconds:
                break
            result = await run(one, all_, seed, seconds, full)
            results.append(result)
            print(result.line(), flush=True)
            if result.logs and logs is not None:
                (logs / f"{one.name}.log").write_text(result.logs)
    return results


if __name__ == "__main__":
    main()
