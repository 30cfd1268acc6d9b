"""What a worker logs of tasks is what tasks say: their errors, their output. None of it may pass for another line,
neither as text nor, with ``log_json``, as JSON.
"""

import logging
from typing import Any

from celery.utils.log import get_multiprocessing_logger

from pointsman.settings import settings
from pointsman_contract.log_text import one_entry


class OneEntry(logging.Formatter):
    """Another formatter, whose every record is one entry: one line, or one and indented ones below it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self._inner = inner
        # The colour goes around the text that is made safe, and comes from nowhere within it.
        self._colours = inner.colors if getattr(inner, "use_color", False) else {}
        if self._colours:
            inner.use_color = False

    def format(self, record: logging.LogRecord) -> str:
        """The entry."""
        text = one_entry(self._inner.format(record))
        colour = self._colours.get(record.levelname)
        return text if colour is None else str(colour(text))


def keep_entries_apart(logger: logging.Logger, **_: Any) -> None:
    """For Celery's signals when it has made its handlers; whoever sets up logging by ``setup_logging`` calls it."""
    # Celery sends no signal for that of its pool.
    of_pool: Any = get_multiprocessing_logger()
    handlers = [*logger.handlers, *of_pool.handlers]
    if settings().log_json:
        # Not before: a process that only sends tasks loads nothing of what runs them.
        from pointsman.run.json_log import JsonLine

        for handler in handlers:
            handler.setFormatter(JsonLine())
        return
    for handler in handlers:
        if not isinstance(handler.formatter, OneEntry):
            handler.setFormatter(OneEntry(handler.formatter or logging.Formatter()))
