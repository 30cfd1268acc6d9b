import importlib
import subprocess
import sys

import pytest

from pointsman_contract.key_rings import KeyRing
from pointsman_contract.sealing import Sealer
from pointsman_contract.signing import Signer
from tests.benchmark import drain, intake, secrecy
from tests.stand.environment import ROOT

BENCHES = (
    "intake",
    "drain",
    "latency",
    "stages",
    "sla",
    "fairness",
    "memory",
    "worker",
    "recorder",
    "idle",
    "predict",
    "history",
    "pages",
    "live",
    "compare",
    "secrecy",
    "guarded",
    "soak",
)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmark", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_lists_every_bench() -> None:
    done = bench("--help")
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.partition("benches:")[2].splitlines() if line.strip()}
    assert listed == {*BENCHES, "store-layout"}


@pytest.mark.parametrize("name", BENCHES)
def test_each_bench_is_there_without_the_peers(name: str) -> None:
    assert callable(importlib.import_module(f"tests.benchmark.{name}").run)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["intake", "--minutes", "3"],
        ["intake", "--png", "x.png"],
        ["intake", "--fault"],
        ["soak", "--minutes", "0"],
        ["soak", "--minutes", "soon"],
        ["intake", "--json", "/nowhere/at/all.json"],
        ["intake", "--slow"],
        ["compare"],
        ["compare", "--with", "/nowhere/at/all"],
        ["drain", "--with", "."],
        ["drain", "--tasks", "1000000"],
        ["history", "--tasks", "5"],
        ["history", "--tasks", "many"],
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(words: list[str]) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: bench")
    assert "error:" in done.stderr


def test_what_is_signed_in_the_bench_is_believed_and_each_step_takes_something() -> None:
    ring = KeyRing.parse("bench:" + "0" * 32)
    found = secrecy._Secrecy(Signer(ring), Sealer(ring), 50).round(0)
    assert found.keys() == set(secrecy._SHOWN)
    assert found["signed_task"] > found["check_message"] > 0
    assert min(found["encrypt"], found["decrypt"], found["check_events"]) > 0


def test_ratios_have_the_names_others_read() -> None:
    assert set(intake.COMPARED) == {
        "single_vs_send_task",
        "single_vs_flower",
        "single_vs_naive",
        "single_vs_procrastinate",
        "single_vs_echo",
        "batch_vs_send_task",
    }
    assert set(drain.COMPARED) == {
        "pointsman_vs_celery_bare",
        "pointsman_vs_celery_results_events",
        "pointsman_vs_procrastinate",
    }
