"""The append-only file in which the test tasks write down each of their runs."""

import os
from collections import Counter
from pathlib import Path

VARIABLE = "ACCEPTANCE_LEDGER"


class Ledger:
    """One line a run: task id and attempt (0 for plain Celery)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, task_id: str, attempt: int) -> None:
        """One run, in a single write, so that lines of many processes never mix."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{task_id} {attempt}\n".encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[tuple[str, int]]:
        """Every run so far, in order."""
        text = self.path.read_text() if self.path.exists() else ""
        return [(task_id, int(attempt)) for task_id, attempt in map(str.split, text.splitlines())]

    def effects(self) -> Counter[str]:
        """How often each task ran."""
        return Counter(task_id for task_id, _ in self.lines())
