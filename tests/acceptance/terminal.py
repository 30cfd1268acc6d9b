"""Programs in a pseudo-terminal, as a person at a keyboard runs them, and a transcript of all of it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_COLUMNS, _LINES = 120, 40
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OWN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Ended:
    """What a program said, and how it ended."""

    text: str
    status: int


class Program:
    """One program with a terminal of its own."""

    def __init__(
        self,
        words: list[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        columns: int = _COLUMNS,
        lines: int = _LINES,
    ) -> None:
        self.text = ""
        self.written = b""
        """All that it wrote, as it wrote it."""
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        # Not pty.fork(): a test session has threads.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _OWN_TERMINAL, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env=environment,
        )
        os.close(slave)

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._process.pid

    def resize(self, columns: int, lines: int) -> None:
        """Make its terminal that large; it is told."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def read_until(self, moment: float) -> bool:
        """Read what it writes, until something came or that moment of ``time.monotonic``; whether it goes on."""
        return self._read(moment) or self._process.poll() is None

    def wait_for(self, text: str, seconds: float) -> None:
        """Read until it has said ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} was not said within {seconds:.0f} s, but:\n{self.text}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._master, b"\x03")

    def wait_end(self, seconds: float) -> Ended:
        """Read the rest, and how it ended. Killed when that takes longer."""
        deadline = time.monotonic() + seconds
        try:
            while self._read(deadline):
                pass
            status = self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"did not end within {seconds:.0f} s, but said:\n{self.text}") from None
        finally:
            os.close(self._master)
        return Ended(self.text, status)

    def _read(self, deadline: float) -> bool:
        """Whether there may be more before ``deadline``."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # Linux says EIO when the last program on the other side is gone.
            return False
        self.written += data
        self.text += _COLOURS.sub("", data.decode(errors="replace")).replace("\r\n", "\n")
        return bool(data)


class Transcript:
    """What was typed and answered, without paths and names of this machine."""

    def __init__(self, replacements: Mapping[str, str]) -> None:
        self._replacements = replacements
        self._lines: list[str] = []

    def remark(self, text: str) -> None:
        """Something the terminal does not show."""
        self._lines.append(f"# {text}\n")

    def add(self, typed: str, ended: Ended) -> None:
        """One program and its answer."""
        status = f"[exit status {ended.status}]\n" if ended.status > 0 else ""
        text = ended.text if ended.text.endswith("\n") else f"{ended.text}\n"
        self._lines.append(f"$ {typed}\n{text}{status}")

    def text(self) -> str:
        """All of it."""
        text = "\n".join(self._lines)
        for found, shown in self._replacements.items():
            text = text.replace(found, shown)
        return text
