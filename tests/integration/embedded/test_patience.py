"""What is still starting is waited for as long as it gets on."""

import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pointsman_service.embedded.child import Tier
from pointsman_service.embedded.children import ChildSpec
from pointsman_service.embedded.errors import ChildFailed
from pointsman_service.embedded.logs import Console
from pointsman_service.embedded.supervisor import Supervisor

PATIENCE_SECONDS = 1.0
"""Longer than a busy machine keeps a child from the processor."""
LONGER_SECONDS = 2 * PATIENCE_SECONDS
WORKS = "while True: pass"
TALKS = "import time\nwhile True: print('step', flush=True); time.sleep(0.05)"
SLEEPS = "import signal; print('here', flush=True); signal.pause()"


class Watched:
    """A supervisor with one child, and what it says."""

    def __init__(self, supervisor: Supervisor, said: io.StringIO) -> None:
        self.supervisor = supervisor
        self.said = said

    def start(self, program: str) -> None:
        self.supervisor.start(ChildSpec("service", (sys.executable, "-c", program)), Tier.SERVICE)

    def wait(self, seconds: float, answer: Callable[[], str] = str) -> None:
        """Wait for what comes after so many seconds."""
        comes_at = time.monotonic() + seconds
        self.supervisor.wait_while_starting(
            lambda: time.monotonic() >= comes_at, "the API", PATIENCE_SECONDS, answer=answer, say_seconds=0.1
        )


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    said = io.StringIO()
    (tmp_path / "logs").mkdir()
    with Supervisor(Console(said), tmp_path / "logs") as supervisor:
        yield Watched(supervisor, said)


@pytest.mark.parametrize("program", [WORKS, TALKS])
def test_a_child_that_works_or_talks_is_waited_for_beyond_all_patience_and_it_is_said(
    watched: Watched, program: str
) -> None:
    watched.start(program)
    watched.wait(LONGER_SECONDS)
    assert "still waiting for the API after " in watched.said.getvalue()


def test_an_answer_that_changes_is_getting_on(watched: Watched) -> None:
    watched.start(SLEEPS)
    answers = iter(range(1_000_000))
    watched.wait(LONGER_SECONDS, answer=lambda: f"503 {next(answers)} of 6 workers")
    assert "of 6 workers)" in watched.said.getvalue()


def test_a_child_that_lives_and_does_nothing_is_given_up(watched: Watched) -> None:
    watched.start(SLEEPS)
    with pytest.raises(ChildFailed, match="the API did not come, and nothing has got on for"):
        watched.wait(20)
