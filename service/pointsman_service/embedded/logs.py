"""What children say: shortly on the console, whole in files that do not grow without end."""

import os
import zlib
from pathlib import Path
from typing import TextIO

from pointsman_contract.log_text import printable

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LONGEST_LINE_BYTES = 32 * 1024


class Console:
    """Lines labelled with who speaks, coloured on a terminal. A reader that goes away only ends the output."""

    def __init__(self, stream: TextIO, *, coloured: bool | None = None) -> None:
        self._stream: TextIO | None = stream
        self._coloured = coloured if coloured is not None else stream.isatty() and "NO_COLOR" not in os.environ

    def say(self, name: str, line: str) -> None:
        """Print one line of ``name``, whatever is in it."""
        label = f"{name:<16}|"
        if self._coloured:
            label = f"\033[{_COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]}m{label}\033[0m"
        self.write(f"{label} {printable(line)}")

    def write(self, text: str) -> None:
        """Print ``text`` as it is, and a line end."""
        if self._stream is None:
            return
        try:
            # One write for the whole line, so that two writers on one terminal do not mix.
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class LogFile:
    """An append-only file that is moved to ``<name>.1`` at ``max_bytes``, so that both hold at most twice that.

    A disk that is full or gone loses lines and nothing else.
    """

    def __init__(self, path: Path, max_bytes: int = 5_000_000) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._descriptor: int | None = None

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if os.fstat(self._descriptor).st_size + len(data) > self._max_bytes:
                self._rotate()
            if self._descriptor is not None:
                os.write(self._descriptor, data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rotate(self) -> None:
        self.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class Lines:
    """Cuts a stream of bytes into lines; a line longer than 32 KiB comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE_BYTES:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace").rstrip("\r") for line in whole]

    def finish(self) -> list[str]:
        """What is left without a line end."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []
