import logging
from io import StringIO

import pytest
from celery.utils.log import ColorFormatter

from pointsman.run.log_format import OneEntry, keep_entries_apart

FORGED = "bad\n[ERROR] forged \x1b[2J"


def record(error: bool = False) -> logging.LogRecord:
    try:
        raise ValueError(FORGED)
    except ValueError as raised:
        trouble = (ValueError, raised, raised.__traceback__) if error else None
        return logging.LogRecord("n", logging.ERROR, "p", 1, "task failed: %s", (FORGED,), trouble)


@pytest.mark.parametrize("coloured", [False, True])
def test_an_error_of_a_task_makes_one_entry_and_the_only_colour_is_ours(coloured: bool) -> None:
    text = OneEntry(ColorFormatter("[%(levelname)s] %(message)s", use_color=coloured)).format(record(error=True))
    first, *rest = text.split("\n")
    assert first.removeprefix("\x1b[1;31m") == "[ERROR] task failed: bad"
    assert all(line.startswith("    ") for line in rest)
    assert text.count("\x1b") == (2 if coloured else 0)
    assert text.count("\\x1b[2J") == 2


def test_handlers_are_changed_once_whoever_made_them() -> None:
    logger, stream = logging.getLogger("handlers that are changed"), StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    keep_entries_apart(logger)
    keep_entries_apart(logger)
    logger.handle(record())
    logger.handlers.clear()
    assert stream.getvalue() == "task failed: bad\n    [ERROR] forged \\x1b[2J\n"
