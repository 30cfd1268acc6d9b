"""What ``python -m pointsman`` finds out about nodes, from beats in a real Valkey and processes that live or not."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from pointsman.connection import RedisConnection
from pointsman.console.daemons import Daemon, Outcome, find_stranger, wait_until_consuming, watch_drain
from pointsman.settings import Settings
from pointsman_contract.keys import BEATS
from tests.integration.workers.conftest import Valkey
from tests.integration.workers.support import ControlPlane
from tests.stand.environment import ROOT
from tests.stand.waiting import until_now


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as living:
        yield living
        living.kill()


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[RedisConnection]:
    """A connection to the test's own server."""
    connection = RedisConnection(Settings(redis_url=SecretStr(valkey.url)))
    yield connection
    connection.close()


def beat(own_plane: ControlPlane, pid: int, **changes: Any) -> None:
    """What a node named email would say."""
    said = {
        "name": f"email@{socket.gethostname()}", "host": socket.gethostname(), "owner": "o", "pid": pid, "counter": 1,
        "consuming": 1, "started_at": 1.0, "running": [], "stopping": False,
    }  # fmt: skip
    own_plane.redis.hset(BEATS, "o", json.dumps(said | changes))


def test_node_is_ready_when_it_consumes(
    own_plane: ControlPlane, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    daemon = Daemon("email", process.pid, True)
    beat(own_plane, process.pid, consuming=0)
    outcomes = wait_until_consuming(redis, [daemon], 20)
    threading.Timer(0.3, beat, (own_plane, process.pid)).start()
    began = time.monotonic()
    assert list(outcomes) == [(daemon, Outcome.READY)]
    assert time.monotonic() - began > 0.25


def test_node_whose_process_ends_is_known_at_once_and_one_that_is_silent_is_late(
    own_plane: ControlPlane, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    died, silent = Daemon("reports", ended.pid, True), Daemon("email", process.pid, True)
    assert list(wait_until_consuming(redis, [silent, died], 0.5)) == [(died, Outcome.DIED), (silent, Outcome.LATE)]


def test_node_is_late_and_not_lost_while_the_broker_is_away(
    valkey: Valkey, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    valkey.kill()
    daemon = Daemon("email", process.pid, True)
    assert list(wait_until_consuming(redis, [daemon], 0.3)) == [(daemon, Outcome.LATE)]


def test_drain_tells_how_many_tasks_are_left_until_the_process_ends(
    own_plane: ControlPlane, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    task = {"task": "t", "attempt": 1, "token": "x"}
    beat(own_plane, process.pid, stopping=True, running=[task, task])
    lines = watch_drain(redis, [Daemon("email", process.pid, True)], 20)
    assert next(lines) == "email: draining, 2 tasks left"
    beat(own_plane, process.pid, stopping=True, running=[task])
    assert next(lines) == "email: draining, 1 task left"
    process.kill()
    assert list(lines) == []


def test_drain_goes_on_while_the_broker_is_away(
    valkey: Valkey, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    valkey.kill()
    lines = watch_drain(redis, [Daemon("email", process.pid, True)], 20)
    assert next(lines) == "email: draining; the broker does not answer, so what is left is not known"
    process.kill()
    assert list(lines) == []


def test_node_that_somebody_else_runs_is_found_by_its_moving_beat(
    own_plane: ControlPlane, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    assert find_stranger(redis, "email") is None
    beat(own_plane, process.pid)
    assert find_stranger(redis, "email", 0.3) is None  # it stands still: left by a crash
    assert find_stranger(redis, "email-2") is None
    threading.Timer(0.2, beat, (own_plane, process.pid), {"counter": 2}).start()
    found = find_stranger(redis, "email")
    assert found is not None
    assert found["pid"] == process.pid


def test_beat_of_another_host_is_nobody_here(
    own_plane: ControlPlane, redis: RedisConnection, process: subprocess.Popen[bytes]
) -> None:
    beat(own_plane, process.pid, host="elsewhere")
    daemon = Daemon("email", process.pid, True)
    assert list(wait_until_consuming(redis, [daemon], 0.3)) == [(daemon, Outcome.LATE)]


def test_node_that_is_told_to_stop_says_so_in_its_beat(own_plane: ControlPlane, start_worker: Any) -> None:
    own_plane.declare(1)
    node = start_worker("-c", "1")
    until_now(lambda: own_plane.events(kind="catalogue"), "the worker to come up")
    task = own_plane.publish("sleep", seconds=3)
    until_now(lambda: own_plane.events(task, "started"), "the task to start")
    assert own_plane.beats()[0]["stopping"] is False
    node.process.terminate()
    said = until_now(lambda: [beat for beat in own_plane.beats() if beat["stopping"]], "a beat that says stopping")
    assert [running["task"] for running in said[0]["running"]] == [task]
    assert abs(time.time() - said[0]["at"]) < 10
    assert node.stop() == 0


def test_commands_are_named_by_help_and_pools_by_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "pointsman", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    listed = run("--help")
    for command in ("config", "pools", "check", "status", "wait", "drain"):
        assert f"\n    {command} " in listed
    topology = {"queues": [{"name": "post", "priority": 1, "sla_seconds": 1}], "fallback": "post"}
    pools = [{"name": "letters", "queues": ["post"], "processes": 3, "prefetch_multiplier": 2}]
    monkeypatch.setenv("POINTSMAN_TOPOLOGY", json.dumps(topology | {"pools": pools}))
    monkeypatch.setenv("POINTSMAN_WORKER_LOG_LEVEL", "ERROR")
    first, second = (line.split("\t") for line in run("pools").splitlines())
    host = socket.gethostname()
    assert first[:5] == ["letters", f"letters@{host}", "post", "3", "2"]
    assert second[1] == f"letters-2@{host}"
    assert first[first.index("-n") + 1] == "letters@%h"
    assert first[-1] == "ERROR"
    shown = {row["name"]: row for row in json.loads(run("config", "--json"))["settings"]}
    assert shown["worker_log_level"] == {
        "name": "worker_log_level", "value": "ERROR", "origin": "POINTSMAN_WORKER_LOG_LEVEL",
    }  # fmt: skip
