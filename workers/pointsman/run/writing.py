"""What the code of a managed run writes through ``logging``, and prints, is kept beside its attempt.

Nothing is taken from where it went before, whatever handlers there are: they have had each record when it is kept, with
what their filters made of it. What a logger's own level or filter leaves out was not written.

Nothing here is done while nothing is written.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from pointsman.run.json_log import message_of
from pointsman.run.running import managed_here
from pointsman.run.shortening import cut, newest
from pointsman_contract.clean_text import clean

OFF = "OFF"
_MESSAGE_BYTES = 8 * 1024
_TRACEBACK_BYTES = 6 * 1024
_REDIRECTED = "celery.redirected"
"""The logger to which Celery gives what is printed, in pieces. The stream before it keeps them as lines."""
_OF_LIBRARIES = ("amqp", "celery", "kombu", "pointsman", "redis")
_OF_AUTHORS = ("", "celery.task", "pointsman.shipped")
"""Loggers whose level those of task authors have, unless they say otherwise."""
_STREAMS = {"stdout": logging.INFO, "stderr": logging.WARNING}
_FORMATTER = logging.Formatter()
_local = threading.local()

Levels = Mapping[logging.Logger, int]
"""Loggers that make more records than before, and from which level on they did."""


class RunLogHandler(logging.Handler):
    """Keeps lines beside the attempt that wrote them. Its filters are asked, so that they may take out what is secret,
    or leave a line out.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, when it is of a managed run."""
        run = managed_here()
        written = None if run is None else run.writing()
        if written is None:
            return
        try:
            text = _text(record)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            # A line never fails its task.
            text = f"(this line could not be made: {type(error).__name__})"
        written.add(record.created, record.levelname.lower(), record.name, text)

    def printed(self, stream: str, text: str) -> None:
        """Keep what was printed, when that was a managed run."""
        level = _STREAMS[stream]
        if level < self.level:
            return
        run = managed_here()
        written = None if run is None else run.writing()
        if written is not None:
            self.acquire()
            try:
                written.printed(stream, logging.getLevelName(level).lower(), text)
            finally:
                self.release()


run_log_handler = RunLogHandler()
"""Of this process. An author may give it filters."""


class PrintedStream:
    """``sys.stdout`` or ``sys.stderr`` as it was, whose text is kept, too."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner = inner
        self._name = name

    def write(self, text: Any) -> Any:
        """Give it to the stream, and keep it."""
        written = self._inner.write(text)
        # What a handler of logging writes is kept as its record.
        if isinstance(text, str) and not getattr(_local, "handling", False):
            run_log_handler.printed(self._name, text)
        return written

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def keep_what_runs_write(level: str) -> Callable[[], None]:
    """From here on this process keeps what its managed runs write, from that level on; ``OFF``: nothing. Returns what
    takes that back. Harmless a second time.
    """
    if level == OFF or isinstance(sys.stdout, PrintedStream):
        return lambda: None
    run_log_handler.setLevel(level)
    streams = {name: getattr(sys, name) for name in _STREAMS}
    for name, stream in streams.items():
        setattr(sys, name, PrintedStream(stream, name))
    loggers = {name: logging.getLogger(name) for name in (*_OF_LIBRARIES, *_OF_AUTHORS)}
    before = {logger: logger.level for logger in loggers.values()}
    levels = _lower(loggers, run_log_handler.level - 1)
    original = logging.Logger.callHandlers
    # As a method of whatever kind of logger there is.
    logging.Logger.callHandlers = _keeping(original, levels, run_log_handler.level - 1)  # type: ignore[method-assign]

    def take_back() -> None:
        logging.Logger.callHandlers = original  # type: ignore[method-assign]
        for logger, level in before.items():
            logger.setLevel(level)
        for name, stream in streams.items():
            setattr(sys, name, stream)

    return take_back


def _keeping(original: Callable[..., None], levels: Levels, ours: int) -> Callable[..., None]:
    """``Logger.callHandlers``, after which a record is kept. One that would not have been made before, but for the
    level that is ``ours``, is given to no handler.
    """
    shown_from = max(levels.values(), default=0)

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        is_shown = record.levelno >= shown_from or not _is_added(self, record.levelno, levels, ours)
        if managed_here() is None:
            if is_shown:
                original(self, record)
            return
        outer, _local.handling = getattr(_local, "handling", False), True
        try:
            if is_shown:
                original(self, record)
        finally:
            _local.handling = outer
            if record.levelno >= run_log_handler.level and self.name != _REDIRECTED:
                run_log_handler.handle(record)

    return call_handlers


def _lower(loggers: Mapping[str, logging.Logger], ours: int) -> Levels:
    """Let the loggers of authors make records from that level on; those of libraries make no more than before. It is
    one that nobody else sets.
    """
    before = {name: logger.getEffectiveLevel() for name, logger in loggers.items()}
    lowered = [name for name in _OF_AUTHORS if before[name] > ours]
    for name in _OF_LIBRARIES if lowered else ():
        if loggers[name].level == logging.NOTSET:
            loggers[name].setLevel(before[name])
    for name in lowered:
        loggers[name].setLevel(ours)
    return {loggers[name]: before[name] for name in lowered}


def _is_added(logger: logging.Logger, level: int, levels: Levels, ours: int) -> bool:
    """Whether a record of that level would not have been made before."""
    asked: logging.Logger | None = logger
    while asked is not None and asked.level == logging.NOTSET:
        asked = asked.parent
    return asked is not None and asked.level == ours and level < levels.get(asked, 0)


def _text(record: logging.LogRecord) -> str:
    text = cut(message_of(record), _MESSAGE_BYTES)
    trace = record.exc_text or ""
    if record.exc_info and not trace:
        trace = _FORMATTER.formatException(record.exc_info)
    for more in (trace, record.stack_info or ""):
        if more:
            text = f"{text}\n{newest(clean(more), _TRACEBACK_BYTES)}"
    return text
