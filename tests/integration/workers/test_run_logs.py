"""What the code of managed runs writes, as a real worker sends it."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pointsman_contract.keys import CONTROL, LINES
from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

LOG_LINES = "tests.integration.workers.writing_tasks"


class Reader:
    """Reads lines as the control plane does, and leaves them there."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        plane.redis.hset(CONTROL, "lines", "1")

    def entries(self, task: str) -> list[dict[str, Any]]:
        return [entry for _, entry in self.plane.redis.xrange(LINES) if entry["task"] == task]

    def lines(self, task: str) -> list[tuple[str, str, str]]:
        """Level, logger and text of each."""
        found = [line for entry in self.entries(task) for line in json.loads(entry["lines"])]
        return [(level, logger, text) for _, level, logger, text in found]

    def all_of(self, task: str) -> list[tuple[str, str, str]]:
        """Once it has said that there are no more."""
        until_now(lambda: any(entry["last"] == "1" for entry in self.entries(task)), f"the last lines of {task}")
        return self.lines(task)


@pytest.fixture
def reader(own_plane: ControlPlane) -> Reader:
    own_plane.declare(1)
    return Reader(own_plane)


@pytest.fixture
def node(reader: Reader, own_plane: ControlPlane, start_worker: Callable[..., Worker]) -> Worker:
    """As ``scripts/celery_workers.sh`` starts one, while somebody reads."""
    # The last -l counts.
    started = start_worker("-c", "2", "-l", "WARNING", POINTSMAN_TASK_MODULES=LOG_LINES)
    until_now(lambda: own_plane.events(kind="catalogue"), "the worker to come up")
    return started


def test_what_runs_write_is_sent_and_is_on_the_console_as_before(
    reader: Reader, node: Worker, own_plane: ControlPlane, tmp_path: Path
) -> None:
    task = own_plane.publish("writing.all")
    own_plane.wait_for(task, "succeeded")
    assert reader.all_of(task) == [
        ("info", "tests.writing", "an info"),
        ("warning", "tests.writing", "a warning"),
        ("info", "writing_tasks", "from a task logger"),
        ("info", "stdout", "printed in one line"),
        ("warning", "stderr", "printed to stderr"),
        ("info", "stdout", "without an end"),
    ]
    until_now(lambda: "without an end" in node.text(), "the console")
    assert "a warning" in node.text()
    assert "an info" not in node.text()
    assert "from a task logger" not in node.text()

    # Each attempt has its own, and one that fails keeps what it wrote.
    again = own_plane.publish("writing.then_fail", task=own_plane.publish("writing.nothing"), after=1, dispatch=2)
    own_plane.wait_for(again, "failed")
    assert [text for _, _, text in reader.all_of(again)] == ["about to fail"]
    assert {entry["attempt"] for entry in reader.entries(again)} == {"2"}

    # A task type that keeps nothing, and a plain task of Celery.
    silent = own_plane.publish("writing.kept_nowhere")
    own_plane.wait_for(silent, "succeeded")
    node.celery("call", "writing.all")
    own_plane.wait_for(None, "native")
    assert reader.entries(silent) == []
    assert len({entry["task"] for _, entry in own_plane.redis.xrange(LINES)}) == 2

    # Lines arrive while their run goes on, and those of a process that is killed are there.
    release = tmp_path / "release"
    whole, cut_short = own_plane.publish("writing.until", str(release)), own_plane.publish("writing.until", "never")
    for one in (whole, cut_short):
        until_now(lambda one=one: reader.lines(one), "the first line")  # type: ignore[misc]
        assert reader.lines(one)[0][2].startswith("process ")
    os.kill(int(reader.lines(cut_short)[0][2].split()[1]), signal.SIGKILL)
    own_plane.wait_for(cut_short, "failed")
    release.touch()
    own_plane.wait_for(whole, "succeeded")
    assert [text for _, _, text in reader.all_of(whole)][1:] == ["released ", "printed "]
    assert all(entry["last"] == "0" for entry in reader.entries(cut_short))


def test_flood_is_bounded_and_keeps_its_newest_lines(reader: Reader, node: Worker, own_plane: ControlPlane) -> None:
    task = own_plane.publish("writing.flood", 200_000)
    own_plane.wait_for(task, "succeeded")
    lines = reader.all_of(task)
    assert lines[-1][2] == "line 199999"
    (last,) = [entry for entry in reader.entries(task) if entry["last"] == "1"]
    assert int(last["first"]) + int(last["count"]) - 1 == 200_000
    assert sum(len(entry["lines"]) for entry in reader.entries(task)) < 1024 * 1024


def test_worker_that_keeps_nothing_sends_nothing(
    reader: Reader, own_plane: ControlPlane, start_worker: Callable[..., Worker]
) -> None:
    node = start_worker("-c", "1", POINTSMAN_TASK_MODULES=LOG_LINES, POINTSMAN_RUN_LOG_LEVEL="OFF")
    task = own_plane.publish("writing.all")
    own_plane.wait_for(task, "succeeded")
    until_now(lambda: "without an end" in node.text(), "the console")
    own_plane.record_all()
    assert node.stop() == 0
    assert own_plane.redis.exists(LINES) == 0


def test_runs_in_threads_of_one_process_keep_their_own_lines(
    reader: Reader, own_plane: ControlPlane, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    pool = {"POINTSMAN_TASK_MODULES": LOG_LINES, "POINTSMAN_ALLOW_POOL_WITHOUT_TIME_LIMITS": "true"}
    start_worker("-P", "threads", "-c", "2", **pool)
    release = tmp_path / "release"
    tasks = [own_plane.publish("writing.until", str(release), word) for word in ("one", "two")]
    for task in tasks:
        until_now(lambda task=task: reader.lines(task), "the first line")  # type: ignore[misc]
    release.touch()
    for task, word in zip(tasks, ("one", "two"), strict=True):
        assert [text for _, _, text in reader.all_of(task)][1:] == [f"released {word}", f"printed {word}"]
