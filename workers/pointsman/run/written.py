"""The lines that one run wrote, as they are kept: short enough, and such that any database can hold them."""

import json
import time
from typing import Protocol

from pointsman.node.run_lines import LineSender
from pointsman.run.shortening import cut
from pointsman_contract.run_log import LINE_BYTES, LONGEST_LEVEL, LONGEST_LOGGER
from pointsman_contract.sealing import Field, Sealer

_TEXT_BYTES = LINE_BYTES - 512
_RUN_CHARACTERS = 8
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Written:
    """What one run wrote. To be used by one thread at a time."""

    __slots__ = ("_begun", "_lines", "_sealing", "_sender", "_task")

    def __init__(self, sender: LineSender, task: str, attempt: int, token: str, sealing: Sealer | None = None) -> None:
        """``sealing``: what seals the text of each line."""
        self._sender = sender
        self._task = task
        self._sealing = sealing
        self._lines = sender.begin(task, attempt, token[:_RUN_CHARACTERS])
        self._begun: dict[str, tuple[str, str]] = {}

    def add(self, at: float, level: str, logger: str, text: str) -> None:
        """Keep a line. ``at``: Unix seconds."""
        if self._sealing is not None:
            # A sealed text is longer by a third.
            text = self._sealing.seal(cut(text, _TEXT_BYTES // 2), self._task, Field.LINE)
        self._sender.write(self._lines, encoded(at, level, logger, text))

    def printed(self, stream: str, level: str, text: str) -> None:
        """Keep what was printed, line by line: what has no end yet waits for it. Of what overwrites itself, as bars of
        progress do, the last is kept.
        """
        begun = self._begun.pop(stream, ("", ""))[0] + text
        *whole, rest = begun.split("\n")
        for line in whole:
            self._add_printed(stream, level, line.removesuffix("\r"))
        rest = rest.rpartition("\r")[2] if "\r" in rest.rstrip("\r") else rest
        if len(rest) > _TEXT_BYTES:
            self._add_printed(stream, level, rest)
        elif rest:
            self._begun[stream] = (rest, level)

    def end(self) -> None:
        """The run has ended, and with it the line that it was printing."""
        for stream, (rest, level) in self._begun.items():
            self._add_printed(stream, level, rest.rstrip("\r"))
        self._begun.clear()
        self._sender.end(self._lines)

    def _add_printed(self, stream: str, level: str, line: str) -> None:
        self.add(time.time(), level, stream, line.rpartition("\r")[2])


class Keeps(Protocol):
    """Whatever may have something that keeps what it writes."""

    def writing(self) -> Written | None:
        """None: nothing is kept."""
        ...


def encoded(at: float, level: str, logger: str, text: str) -> str:
    """A line as JSON, of at most ``LINE_BYTES``."""
    head = [round(at, 6), cut(level, LONGEST_LEVEL), cut(logger, LONGEST_LOGGER)]
    line = _ENCODE([*head, cut(text, _TEXT_BYTES)])
    if len(line) * 4 <= LINE_BYTES or len(line.encode()) <= LINE_BYTES:
        return line
    # A control character is six bytes in JSON.
    return _ENCODE([*head, cut(text, _TEXT_BYTES // 6)])
