"""One supervised child: its process, what it says, when it is started again."""

import os
import random
import selectors
import subprocess
import time
from enum import IntEnum

from pointsman_service.embedded.backoff import Backoff
from pointsman_service.embedded.children import ChildSpec, StillRunning, describe_exit, kill_group, spawn
from pointsman_service.embedded.logs import Console, Lines, LogFile


class Tier(IntEnum):
    """The order of stopping: the highest first, and what a tier needs lies below it."""

    POSTGRES = 0
    VALKEY = 1
    SERVICE = 2
    WORKERS = 3


class Child:
    """A child that is started again, later each time, until it is told to stop."""

    def __init__(
        self, spec: ChildSpec, tier: Tier, log: LogFile, console: Console, selector: selectors.BaseSelector
    ) -> None:
        self.spec = spec
        self.tier = tier
        self.deaths = 0
        """Unexpected ones in a row, without having lived long in between."""
        self.restart_at: float | None = None
        self.returncode: int | None = None
        self.heard_at = 0.0
        """Monotonic; when it said something last."""
        self._log = log
        self._console = console
        self._selector = selector
        self._process: subprocess.Popen[bytes] | None = None
        self._output: int | None = None
        self._lines = Lines()
        self._started_at = 0.0
        self._step = 0
        self._step_ends_at: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the child has a process that was not seen to end."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Of its process; None while it has none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start its process. Raises StillRunning when an earlier one is not gone."""
        self.restart_at = None
        self.returncode = None
        reading, writing = os.pipe()
        try:
            self._process = spawn(self.spec, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        self._close_output()
        self._output = reading
        self._started_at = time.monotonic()
        self._selector.register(reading, selectors.EVENT_READ, self)

    def read(self) -> None:
        """Pass on what it said since."""
        # Bounded, so that one chatty child does not keep the supervisor from the others.
        for _ in range(16):
            if self._output is None:
                return
            try:
                data = os.read(self._output, 65536)
            except BlockingIOError:
                return
            if not data:
                self._close_output()
                return
            self.heard_at = time.monotonic()
            self._log.write(data)
            self._show(self._lines.feed(data))

    def reap(self) -> bool:
        """Whether the child ended since the last look; what its process group left behind is killed."""
        if self._process is None or (returncode := self._process.poll()) is None:
            return False
        kill_group(self._process)
        self._process = None
        self.returncode = returncode
        self.read()
        return True

    def plan_restart(self, backoff: Backoff, rng: random.Random) -> float:
        """Set when it is started again, and return in how many seconds."""
        now = time.monotonic()
        lived_long = self.returncode is not None and now - self._started_at >= backoff.settled_seconds
        self.deaths = 1 if lived_long else self.deaths + 1
        delay = backoff.delay(self.deaths, rng)
        self.restart_at = now + delay
        return delay

    def restart(self, backoff: Backoff, rng: random.Random) -> None:
        """Start it again, or say why that must wait."""
        try:
            self.start()
        except (StillRunning, OSError) as error:
            delay = self.plan_restart(backoff, rng)
            self._console.say("up", f"{self.spec.name} cannot start: {error}; next try in {delay:.1f} s")

    def press_to_stop(self) -> None:
        """Take the next of its stop steps whose time has come; after the last, kill it. Call again and again."""
        now = time.monotonic()
        if self._process is None or (self._step_ends_at is not None and now < self._step_ends_at):
            return
        if self._step == len(self.spec.stop_steps):
            self.kill()
            return
        step = self.spec.stop_steps[self._step]
        if self._step > 0:
            self._console.say("up", f"{self.spec.name} has not stopped yet: sending {step.signal.name}")
        self._process.send_signal(step.signal)
        self._step += 1
        self._step_ends_at = now + step.grace_seconds

    def kill(self) -> None:
        """SIGKILL it and its process group."""
        if self._process is not None:
            self._process.kill()
            kill_group(self._process)

    def close(self) -> None:
        """Release its pipe and its log file."""
        self._close_output()
        self._log.close()

    def describe_exit(self) -> str:
        """How it ended last."""
        return "no process" if self.returncode is None else describe_exit(self.returncode)

    def _close_output(self) -> None:
        if self._output is not None:
            self._selector.unregister(self._output)
            os.close(self._output)
            self._output = None
            self._show(self._lines.finish())

    def _show(self, lines: list[str]) -> None:
        for line in lines:
            if self.spec.on_console is None or self.spec.on_console(line):
                self._console.say(self.spec.name, line)
