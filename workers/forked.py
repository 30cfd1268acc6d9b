"""A run that forks: only the process that began it goes on after it.

The other comes out of the body as a copy of a pool process. Were it let go on, it would report the run a second time,
and then take tasks that no time limit and no cancellation could end, because the parent does not know it.
"""

import logging
import os
import sys
import traceback
from types import TracebackType
from typing import NoReturn

logger = logging.getLogger(__name__)


class OneProcess:
    """``with OneProcess(task_type, task_id):`` only the process that enters the block leaves it.

    A copy of it ends at once where it would leave, with the exit status of a Python program that ends so. No handler
    of the copied process runs.
    """

    __slots__ = ("_pid", "_task", "_task_type")

    def __init__(self, task_type: str, task: str) -> None:
        self._task_type = task_type
        self._task = task

    def __enter__(self) -> None:
        self._pid = os.getpid()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            self._end(error)

    def _end(self, error: BaseException | None) -> NoReturn:
        status = 1
        try:
            status, said = _ending(error)
            logger.log(
                logging.ERROR if status else logging.INFO,
                "a process that task %s[%s] forked has come to the end of its run, and ends here: %s",
                self._task_type,
                self._task,
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
