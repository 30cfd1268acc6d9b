"""A run in the background: shells have it ignore what would end it, and children inherit that."""

import signal
import subprocess
import sys

import pytest

from tests.stand.environment import ROOT

NUMBERS = [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]
_BACKGROUND = "trap '' INT QUIT HUP; exec \"$@\""
_SPAWNING = """
import psutil, signal, subprocess
from pointsman_service.embedded.children import ChildSpec, spawn
for number in (signal.SIGINT, signal.SIGQUIT):
    child = spawn(ChildSpec("sleep", ("/bin/sleep", "60")), subprocess.DEVNULL)
    while psutil.Process(child.pid).name() != "sleep":
        assert child.poll() is None
    child.send_signal(number)
    assert child.wait() == -number, child.returncode
"""


def in_the_background(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python under a shell that ignores these signals."""
    command = ["/bin/sh", "-c", _BACKGROUND, "sh", sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_test_starts_ends_by_every_signal(number: signal.Signals) -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    child.send_signal(number)
    assert child.wait() == -number


def test_a_child_of_up_ends_by_every_signal_though_up_ignores_it() -> None:
    ended = in_the_background("-c", _SPAWNING)
    assert ended.returncode == 0, ended.stderr


def test_the_suite_is_right_in_the_background() -> None:
    this = f"{__file__}::{test_what_a_test_starts_ends_by_every_signal.__name__}"
    ended = in_the_background("-m", "pytest", "-q", "-p", "no:cacheprovider", this)
    assert ended.returncode == 0, ended.stdout
    assert f"{len(NUMBERS)} passed" in ended.stdout
