"""What somebody sees on a terminal: a program in one, and a terminal emulator (pyte) that reads what it writes."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

from tests.acceptance.terminal import Ended, Program
from tests.stand.waiting import SLOWEST

_SECONDS = SLOWEST * 30.0
# Protocols of newer terminals, which pyte takes for something else.
_PRIVATE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b_[^\x1b]*\x1b\\")


class Terminal:
    """One program on a screen of its own."""

    def __init__(
        self, words: list[str], environment: Mapping[str, str], directory: Path, columns: int = 80, lines: int = 24
    ) -> None:
        self.program = Program(words, environment, directory, columns=columns, lines=lines)
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0

    @property
    def lines(self) -> list[str]:
        """What stands there, line by line."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    def press(self, keys: str) -> None:
        """Type."""
        self.program.type(keys)

    def resize(self, columns: int, lines: int) -> None:
        """Drag its corner."""
        self._screen.resize(lines, columns)
        self.program.resize(columns, lines)

    def until(self, seen: Callable[[str], bool], what: str, seconds: float = _SECONDS) -> str:
        """What stands there once ``seen`` is true of it."""
        deadline = time.monotonic() + seconds
        while not seen(self.text):
            went_on = self.program.read_until(min(deadline, time.monotonic() + 0.5))
            self._feed()
            if seen(self.text):
                break
            assert went_on, f"it ended before {what}:\n{self.text}\n{self.program.text[-2000:]}"
            assert time.monotonic() < deadline, f"{what} was not seen within {seconds:.0f} s, but:\n{self.text}"
        return self.text

    def shows(self, *words: str, seconds: float = _SECONDS) -> str:
        """What stands there once it holds all of these."""
        return self.until(lambda text: all(word in text for word in words), f"{words}", seconds)

    def leave(self) -> Ended:
        """``q``, and how it ended."""
        self.press("q")
        ended = self.program.wait_end(_SECONDS)
        self._feed()
        return ended

    def _feed(self) -> None:
        new = self.program.written[self._fed :]
        self._fed = len(self.program.written)
        self._stream.feed(_PRIVATE.sub(b"", new))
