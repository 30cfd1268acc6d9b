"""The append-only file in which every execution of a torture task writes down its beginning and its end.

Times are of the machine's monotonic clock, which all processes share, so executions can be laid side by side.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

VARIABLE = "TORTURE_EFFECTS"
_LINE_BYTES = 72
"""About; for an estimate."""


@dataclass(slots=True)
class Execution:
    """One run of a body."""

    task: str
    attempt: int
    pid: int
    began: float
    ended: float | None = None
    """None when its process died first, or it still runs."""


def note(moment: str, task: str, attempt: int) -> None:
    """Write a beginning (``B``) or an end (``E``), in a single write, so that lines of many processes never mix."""
    descriptor = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{moment} {task} {attempt} {os.getpid()} {time.monotonic():.6f}\n".encode())
    finally:
        os.close(descriptor)


class Effects:
    """What the file says."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def roughly(self) -> int:
        """About how many executions there were; costs nothing."""
        return self.path.stat().st_size // _LINE_BYTES // 2 if self.path.exists() else 0

    def executions(self) -> dict[str, list[Execution]]:
        """Every execution by task, in the order in which they began."""
        found: dict[str, list[Execution]] = defaultdict(list)
        text = self.path.read_text() if self.path.exists() else ""
        for moment, task, attempt, pid, at in map(str.split, text.splitlines()):
            if moment == "B":
                found[task].append(Execution(task, int(attempt), int(pid), float(at)))
                continue
            for execution in found[task]:
                if (execution.pid, execution.attempt, execution.ended) == (int(pid), int(attempt), None):
                    execution.ended = float(at)
                    break
        return found

    def counts(self) -> Counter[str]:
        """How often each task began."""
        return Counter({task: len(executions) for task, executions in self.executions().items()})


def overlapping(executions: Iterable[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs that ran at the same time. One whose process died counts as the moment of its beginning."""
    ordered = sorted(executions, key=lambda execution: execution.began)
    return [
        (first, second) for first, second in pairwise(ordered) if first.ended is not None and first.ended > second.began
    ]
