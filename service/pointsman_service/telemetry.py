"""Logging: one line an event, the same words everywhere, secrets never."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar
from io import StringIO
from typing import Any, TextIO, TypeVar

from pointsman_contract.log_text import one_entry, printable
from pointsman_service.settings import Settings

# structlog would load it for tracebacks that nobody is shown here, which takes a twentieth of a process's start.
_known = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _known is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _known

Made = TypeVar("Made")

request_id: ContextVar[bytes | None] = ContextVar("request_id", default=None)
"""Of the request for which this runs: in its answer, and in every line that is logged for it."""

client_address: ContextVar[str | None] = ContextVar("client_address", default=None)
"""From where that came which an act is done for."""

TELEMETRY_OFF: dict[str, Any] = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
}  # fmt: skip
"""What FastAPI would tell a collector by itself: nothing, whatever its variables say. Its logs quote bodies."""
more_fields: Callable[[], Mapping[str, str]] | None = None
"""What else every line says where it is written: set by tracing."""


def start_for_all(work: Coroutine[Any, Any, Made]) -> asyncio.Task[Made]:
    """A task that serves more than the request that starts it: its log lines name no request."""
    return asyncio.create_task(work, context=Context())


def configure_logging(settings: Settings) -> None:
    """Send structlog and the standard library's loggers to standard error in one format."""
    shared: list[Any] = [
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_json
        # Not the pretty traceback: it takes seconds of the event loop, and prints the values of variables.
        else [
            _printable_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback),
        ]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def _add_request_id(_logger: Any, _method: str, event: Any) -> Any:
    called = request_id.get()
    if called is not None:
        event["request_id"] = called.decode("ascii")
    if more_fields is not None:
        event.update(more_fields())
    return event


def _printable_event(_logger: Any, _method: str, event: Any) -> Any:
    """What callers and libraries give is shown as Python writes it, where it has anything that cannot be seen."""
    event["event"] = printable(str(event["event"]))
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = _AsWritten(value)
    return event


class _AsWritten:
    """Text whose quotes and escapes are shown: the renderer leaves them out where text has no space."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _traceback(stream: TextIO, error: Any) -> None:
    plain = StringIO()
    structlog.dev.plain_traceback(plain, error)
    stream.write("\n    " + one_entry(plain.getvalue().strip("\n")))
