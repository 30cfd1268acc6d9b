"""What a command says: to people in tables, to programs one JSON document a line."""

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from pointsman_client.model import Model
from pointsman_client.shown import can_say, shown

_UNKNOWN = "–"
_WIDE = 10_000
"""Where nobody looks at it, nothing is cut."""
_SILENT_SECONDS = 2.0
"""That a call may be made again without a word."""


class Voice:
    """Speaks to ``out``; with ``as_json`` to programs."""

    def __init__(self, out: TextIO | None = None, *, as_json: bool = False) -> None:
        self._out = sys.stdout if out is None else out
        self.as_json = as_json
        self._ascii_only = not can_say("…–", getattr(self._out, "encoding", None))
        is_terminal = self._out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._width = shutil.get_terminal_size((120, 24)).columns if is_terminal else _WIDE

    def document(self, said: Model | Mapping[str, object]) -> None:
        """One document as one line."""
        raw = said.raw if isinstance(said, Model) else said
        self._out.write(json.dumps(raw, ensure_ascii=self._ascii_only, separators=(",", ":")) + "\n")
        self._out.flush()

    def line(self, text: str) -> None:
        """One line."""
        self._out.write(shown(text, self._ascii_only) + "\n")
        self._out.flush()

    def complain(self, text: str) -> None:
        """One line to whoever looks, and not to who reads what was asked for."""
        sys.stderr.write(f"pointsman: {shown(text, self._ascii_only)}\n")

    @contextmanager
    def patient(self) -> Iterator[None]:
        """In the block who looks is told once of calls that are made again and again."""
        log, telling = logging.getLogger("pointsman_client.sync.client"), _Telling(self)
        before = log.level
        log.addHandler(telling)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.setLevel(before)
            log.removeHandler(telling)

    def facts(self, facts: Mapping[str, object]) -> None:
        """A fact a line, without those that nobody knows."""
        said = {name: said_of(value) for name, value in facts.items() if value not in (None, "", [], {})}
        wide = max(map(len, said), default=0)
        for name, value in said.items():
            self.line(f"{name:<{wide}}  {value}")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Columns as wide as they have to be, the last one cut where the terminal ends."""
        said = [[said_of(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *said, strict=True)]
        for cells in (list(heads), *said):
            text = "  ".join(cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True)).rstrip()
            self.line(text if len(text) <= self._width else text[: self._width - 1] + "…")


class _Telling(logging.Handler):
    def __init__(self, voice: Voice) -> None:
        super().__init__(logging.INFO)
        self._voice = voice
        self._not_before = time.monotonic() + _SILENT_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() < self._not_before or not isinstance(record.args, tuple):
            return
        self._not_before = float("inf")
        _, left, error = record.args
        self._voice.complain(f"{error}; tried again, for {left:.0f} s at most")


def said_of(value: object) -> str:
    """A value as people say it."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
