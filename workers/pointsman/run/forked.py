"""A run that forks: only the process that began it goes on after it.

The other comes out of the body as a copy of a pool process. Were it let go on, it would report the run a second time,
and then take tasks that no time limit and no cancellation could end, because the parent does not know it.
"""

import logging
import os
import sys
import traceback
from typing import NoReturn

logger = logging.getLogger(__name__)


def stay(process: int, task_type: str, task: str, error: BaseException | None = None) -> None:
    """Return in the process with the id that began a run. A copy of it ends here, with the exit status of a Python
    program that ends so: ``error`` is what it is about to leave with. No handler of the copied process runs.

    To be called wherever a run is left. A function, since a context manager costs each run three calls more.
    """
    if os.getpid() != process:
        _end(task_type, task, error)


def _end(task_type: str, task: str, error: BaseException | None) -> NoReturn:
    status = 1
    try:
        status, said = _ending(error)
        logger.log(
            logging.ERROR if status else logging.INFO,
            "a process that task %s[%s] forked has come to the end of its run, and ends here: %s",
            task_type,
            task,
            said,
        )
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _ending(error: BaseException | None) -> tuple[int, str]:
    """Exit status, and what to say of it."""
    code: object = None if error is None else error.code if isinstance(error, SystemExit) else error
    if code is None or isinstance(code, int):
        status = (code or 0) & 0xFF
        return status, f"status {status}"
    if isinstance(code, BaseException):
        return 1, "".join(traceback.format_exception(code)).rstrip()
    return 1, str(code)
