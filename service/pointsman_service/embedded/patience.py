"""How long to wait for what is still starting: as long as it gets on."""

import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_BUSY_SHARE = 0.2
"""Of one core. All children of a whole installation that has nothing to do take less together."""


class Starting(Protocol):
    """A child as it is judged here."""

    @property
    def pid(self) -> int | None:
        """None while it has no process."""
        ...

    heard_at: float
    """Monotonic; when it said something last."""


class Patience:
    """Runs out when nothing got on for ``seconds``: no child said anything, the answer stayed as it was, and all of the
    children together hardly worked. A machine that is busy makes nobody give up.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: tuple[str, float] | None = None
        self._since = 0.0
        self._worked = 0.0

    def is_over(self, children: Sequence[Starting], answer: str) -> bool:
        """Whether to give up now; ``answer`` is what was heard last of what is waited for."""
        now = time.monotonic()
        seen = (answer, max((child.heard_at for child in children), default=0.0))
        if seen == self._seen:
            waited = now - self._since
            if waited < self._seconds:
                return False
            if _cpu_seconds(children) - self._worked < _BUSY_SHARE * waited:
                return True
        self._seen, self._since, self._worked = seen, now, _cpu_seconds(children)
        return False


def _cpu_seconds(children: Iterable[Starting]) -> float:
    """Of their own processes: a child starts on its own, and makes others when it has."""
    return sum(_cpu_of(child.pid) for child in children if child.pid is not None)


def _cpu_of(pid: int) -> float:
    with suppress(OSError, ValueError, IndexError):
        # The numbers follow the name, which stands in brackets and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return float(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    if Path("/proc/self/stat").exists():
        return 0.0
    told = subprocess.run(["/bin/ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=False)
    # [hours:]minutes:seconds.hundredths
    with suppress(ValueError):
        parts = reversed(told.stdout.strip().split(":"))
        return sum(float(part) * 60.0**place for place, part in enumerate(parts))
    return 0.0
