"""Keeps children running until it is told to stop, then stops them in order."""

import random
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pointsman_service.embedded.backoff import Backoff
from pointsman_service.embedded.child import Child, Tier
from pointsman_service.embedded.children import ChildSpec
from pointsman_service.embedded.errors import ChildFailed
from pointsman_service.embedded.logs import Console, LogFile
from pointsman_service.embedded.patience import Patience
from pointsman_service.errors import ServiceError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS = 0.05
_SAY_SECONDS = 30.0
"""Between two lines that say what is waited for."""


class StopRequested(ServiceError):
    """SIGINT, SIGTERM or SIGHUP arrived."""


class Supervisor:
    """Runs children from one thread, the main one.

    A child that ends by itself is started again with backoff, and a line says so. ``stop`` takes the tiers from the
    top: each child gets its stop steps, and a second signal kills workers and service at once, a third the servers too.
    On Linux nothing survives the supervisor, however it ends.
    """

    def __init__(self, console: Console, logs_dir: Path, backoff: Backoff | None = None) -> None:
        self._console = console
        self._logs_dir = logs_dir
        self._backoff = backoff or Backoff()
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._wakeups, self._wake = socket.socketpair()
        self._signals = 0
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._previous_wakeup = -1

    def __enter__(self) -> Self:
        for end in (self._wakeups, self._wake):
            end.setblocking(False)
        self._selector.register(self._wakeups, selectors.EVENT_READ)
        self._previous_wakeup = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            # A SIGHUP that is ignored already comes from nohup, which means it.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_stop_signal)
        # Without a handler the end of a child would not wake the selector.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._selector.close()
        self._wakeups.close()
        self._wake.close()

    def start(self, spec: ChildSpec, tier: Tier) -> Child:
        """Start a child and keep it running. Raises StillRunning when an earlier one is not gone."""
        child = self._adopt(spec, tier)
        child.start()
        return child

    def run_once(self, spec: ChildSpec, timeout_seconds: float) -> None:
        """Run a child to its end. Raises ChildFailed when it fails or takes too long, StopRequested."""
        child = self._adopt(spec, Tier.SERVICE)
        child.start()
        deadline = time.monotonic() + timeout_seconds
        while child.is_alive:
            if time.monotonic() > deadline:
                raise ChildFailed(f"{spec.name} did not finish within {timeout_seconds:.0f} s")
            self._raise_if_stopping()
            self._turn({child})
        self._children.remove(child)
        child.close()
        if child.returncode != 0:
            raise ChildFailed(f"{spec.name} failed with {child.describe_exit()}, see {self._log_path(spec)}")

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_seconds: float, deaths_allowed: int = 3
    ) -> None:
        """Supervise until ``condition`` holds.

        Raises StopRequested, or ChildFailed after ``timeout_seconds`` or ``deaths_allowed`` deaths of a child in a row.
        """
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > deadline:
                raise ChildFailed(f"{what} did not come within {timeout_seconds:.0f} s")
            self._wait_a_turn(deaths_allowed)

    def wait_while_starting(
        self,
        condition: Callable[[], bool],
        what: str,
        patience_seconds: float,
        deaths_allowed: int = 3,
        answer: Callable[[], str] = str,
        say_seconds: float = _SAY_SECONDS,
    ) -> None:
        """Supervise until ``condition`` holds, however long that takes while the children get on, and say so.

        ``answer`` tells what was heard last of what is waited for. Raises StopRequested, or ChildFailed after
        ``patience_seconds`` in which nothing got on, or ``deaths_allowed`` deaths of a child in a row.
        """
        patience = Patience(patience_seconds)
        began = said_at = time.monotonic()
        while not condition():
            heard = answer()
            if patience.is_over(self._children, heard):
                raise ChildFailed(f"{what} did not come, and nothing has got on for {patience_seconds:.0f} s")
            if time.monotonic() - said_at >= say_seconds:
                said_at = time.monotonic()
                told = f" ({heard})" if heard else ""
                self._console.say("up", f"still waiting for {what} after {said_at - began:.0f} s{told}")
            self._wait_a_turn(deaths_allowed)

    def _wait_a_turn(self, deaths_allowed: int) -> None:
        self._raise_if_stopping()
        for child in self._children:
            if child.deaths >= deaths_allowed:
                how = f"died {child.deaths} times, last with {child.describe_exit()}"
                raise ChildFailed(f"{child.spec.name} {how}, see {self._log_path(child.spec)}")
        self._turn()

    def watch(self) -> None:
        """Supervise until StopRequested is raised."""
        while True:
            self._raise_if_stopping()
            self._turn(timeout_seconds=1.0)

    def stop(self) -> None:
        """Stop every child, tier by tier from the top; return when none is left."""
        for tier in sorted(Tier, reverse=True):
            ours = [child for child in self._children if child.tier == tier]
            for child in ours:
                child.restart_at = None
            while any(child.is_alive for child in ours):
                for child in ours:
                    # Servers stop within a fraction of a second and keep their data whole: insisting twice is no haste.
                    if self._signals >= (2 if tier >= Tier.SERVICE else 3):
                        child.kill()
                    else:
                        child.press_to_stop()
                self._turn(set(ours))
            for child in ours:
                child.close()
                self._children.remove(child)

    def _adopt(self, spec: ChildSpec, tier: Tier) -> Child:
        child = Child(spec, tier, LogFile(self._log_path(spec)), self._console, self._selector)
        self._children.append(child)
        return child

    def _log_path(self, spec: ChildSpec) -> Path:
        return self._logs_dir / f"{spec.name}.log"

    def _turn(self, ending: set[Child] | None = None, timeout_seconds: float = _TICK_SECONDS) -> None:
        """One round: pass on output, notice deaths (those of ``ending`` are expected), start what is due."""
        due = [child.restart_at for child in self._children if child.restart_at is not None]
        timeout = max(0.0, min([timeout_seconds, *(at - time.monotonic() for at in due)]))
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                key.data.read()
            else:
                self._wakeups.recv(4096)
        for child in self._children:
            if child.reap() and child not in (ending or ()):
                delay = child.plan_restart(self._backoff, self._rng)
                self._console.say("up", f"{child.spec.name} died ({child.describe_exit()}), restart in {delay:.1f} s")
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                child.restart(self._backoff, self._rng)

    def _raise_if_stopping(self) -> None:
        if self._signals:
            raise StopRequested

    def _on_stop_signal(self, *_: object) -> None:
        self._signals += 1
