"""An installation of its own to draw: all of ``./scripts/up``, with the demo's tasks and a bank in our hands."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from pointsman_client import Client
from pointsman_contract.configuration import DEMO_URL
from pointsman_contract.run_file import RunFile
from pointsman_service.embedded.demo.bank import Bank
from pointsman_service.embedded.demo.day import Moment
from pointsman_service.embedded.demo.traffic import Traffic
from pointsman_service.embedded.plan import DEMO_TASKS
from tests.browser.site import ROOT as DASHBOARD
from tests.stand.environment import inherited
from tests.stand.waiting import until_now

_START_SECONDS = 120.0
_STOP_SECONDS = 40.0
_STEP_SECONDS = 100.0
_PER_SECOND = 6.0
_SEED = 7
_BUSIEST = Moment(90.0)
"""An hour of the demo's day: 11:00."""
_POLICY = '{"recovery_timeout": 25, "recovery_timeout_max": 25}'
"""A breaker that is open is tried so often: the incident is over soon after the bank is back."""


class NotStarted(Exception):
    """The installation did not start; with what it said."""


class Installation:
    """Everything of ``./scripts/up`` in ``directory``, with traffic from ``begin_traffic`` on; a context manager that
    leaves no process behind. Raises ``NotStarted``.
    """

    def __init__(self, directory: Path) -> None:
        self.bank = Bank()
        self._data = directory / "data"
        self._log = directory / "up.log"
        self._ended = Event()
        self._player = Thread(target=self._play, daemon=True)
        self.run: RunFile
        self.client: Client
        self.traffic: Traffic

    @property
    def dashboard(self) -> str:
        """Where its pages begin."""
        return self.run.api_url + DASHBOARD

    def __enter__(self) -> Self:
        self.bank.__enter__()
        variables = {
            "POINTSMAN_TASK_MODULES": DEMO_TASKS,
            DEMO_URL: self.bank.url,
            "POINTSMAN_CIRCUIT_BREAKER": _POLICY,
        }
        words = [sys.executable, "-m", "pointsman_service.embedded", "--data-dir", str(self._data), "--port", "0"]
        with self._log.open("wb") as log:
            self._up = subprocess.Popen(
                words, env=inherited() | variables, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        try:
            self._wait_ready()
        except BaseException:
            self._stop()
            raise
        self.client = Client(self.run.api_url, timeout=20)
        self.traffic = Traffic(self.client, self.bank, _PER_SECOND, random.Random(_SEED), self._say)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._player.is_alive():
            self._player.join()
        self.client.close()
        self._stop()

    def begin_traffic(self) -> None:
        """Submit what comes in in a busy hour, from now on."""
        self._player.start()

    def ask(self, path: str, **parameters: Any) -> Any:
        """What the API answers."""
        return self.client.request("GET", path, query=parameters).json()

    def post(self, path: str, **body: Any) -> Any:
        """What the API answers to an act."""
        return self.client.request("POST", path, body=body).json()

    def until(self, seen: Callable[[], Any], what: str) -> Any:
        """The first true answer. An ``AssertionError`` when that takes too long."""
        return until_now(seen, what, _STEP_SECONDS, 0.2)

    def _play(self) -> None:
        while not self._ended.is_set():
            self._ended.wait(self.traffic.submit_next(_BUSIEST))

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while "Ctrl-C stops it." not in self._said():
            if self._up.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"./scripts/up did not start:\n{self._said()[-2000:]}")
            self._ended.wait(0.1)
        found = RunFile.read(self._data)
        if found is None:
            raise NotStarted(f"./scripts/up published nothing:\n{self._said()[-2000:]}")
        self.run = found

    def _said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _stop(self) -> None:
        if self._up.poll() is None:
            self._up.send_signal(signal.SIGINT)
            try:
                self._up.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait()
        self.bank.__exit__(None, None, None)

    def _say(self, text: str) -> None:
        if os.environ.get("SCREENSHOTS_VERBOSE"):
            sys.stderr.write(f"{text}\n")


def submit(installation: Installation, task_type: str, **fields: Any) -> str:
    """One task more than the traffic brings; its id."""
    return str(installation.post("/v1/tasks", task_type=task_type, **fields)["id"])
