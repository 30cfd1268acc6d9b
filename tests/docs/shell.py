"""The shell of somebody who reads a page and types its blocks."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05

# A command that fails is told, with -e's own idea of what that is; the shell goes on, as one at a terminal does.
_PRELUDE = """
set -E -o pipefail
trap '__status=$?; printf "@@failed with %s: %s\\n" "$__status" "$BASH_COMMAND" >&2' ERR
"""
_STATUS = re.compile(r"^@@http (\d{3})$\n?", re.MULTILINE)
CURL_SETTINGS = 'write-out = "%{stderr}\\n@@http %{http_code}\\n"\n'
"""A ``.curlrc`` that tells the status of every answer, whatever is done with its body."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a block."""

    status: int
    """Of the last command that failed; 0 when none did."""
    out: str
    err: str
    answers: list[int]
    """The statuses of the HTTP answers, in order."""

    @property
    def all(self) -> str:
        """Both outputs."""
        return self.out + self.err


class Shell:
    """One bash for a whole page: variables live from block to block. Leaves no process behind."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = dict(environment)
        self._blocks = 0
        self._background: list[tuple[int, Path]] = []
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._ask(f"{_PRELUDE}\necho well", _STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without job control everything it started is in its group.
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        for stream in (self._bash.stdin, self._bash.stdout):
            assert stream is not None
            stream.close()

    def run(self, text: str, seconds: float) -> Said:
        """Type a block, and wait until it has ended. Raises ``TimeoutError`` with what it said until then."""
        script, out, err = self._files()
        script.write_text(text + "\n")
        try:
            status = self._ask(f"__status=0\n. {script} </dev/null >{out} 2>{err}\necho $__status", seconds)
        except (TimeoutError, EOFError) as error:
            error.add_note(out.read_text(errors="replace") + err.read_text(errors="replace"))
            raise
        complaints = err.read_text(errors="replace")
        answers = [int(answer) for answer in _STATUS.findall(complaints)]
        return Said(int(status), out.read_text(errors="replace"), _STATUS.sub("", complaints), answers)

    def leave_running(self, text: str, until: str, seconds: float) -> None:
        """Start a block of one command in the background, and wait until it has said ``until``. Raises
        ``AssertionError``.
        """
        _, out, _ = self._files()
        pid = int(self._ask(f"{text.strip()} </dev/null >{out} 2>&1 &\necho $!", seconds))
        self._background.append((pid, out))
        deadline = time.monotonic() + seconds
        while until not in _text(out):
            assert _is_alive(pid), f"it ended before it said {until!r}:\n{_text(out)}"
            assert time.monotonic() < deadline, f"it did not say {until!r} within {seconds:.0f} s:\n{_text(out)}"
            time.sleep(_POLL_SECONDS)

    def end_background(self) -> None:
        """Stop what runs in the background, the newest first. Raises ``AssertionError`` unless all end well."""
        while self._background:
            pid, out = self._background.pop()
            status = self._ask(f"kill -TERM {pid}; wait {pid}; echo $?", _STOP_SECONDS)
            assert int(status) == 0, f"it ended with {status}:\n{_text(out)}"

    def _ask(self, commands: str, seconds: float) -> str:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{commands}\n".encode())
        self._bash.stdin.flush()
        if not select.select([self._bash.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"not done after {seconds:.0f} s: {commands}")
        answer = self._bash.stdout.readline().decode()
        if not answer:
            raise EOFError(f"the shell ended: {commands}")
        return answer.strip()

    def _files(self) -> tuple[Path, Path, Path]:
        self._blocks += 1
        directory = self._directory / ".blocks"
        directory.mkdir(exist_ok=True)
        start = f"{os.getpid()}-{self._bash.pid}-{self._blocks}"
        return directory / f"{start}.sh", directory / f"{start}.out", directory / f"{start}.err"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
