"""Tasks that write."""

import logging
import os
import sys
import time

from celery.utils.log import get_task_logger

from pointsman import task

log = logging.getLogger("tests.writing")
task_log = get_task_logger("writing_tasks")


@task(name="writing.all")
def everything() -> None:
    log.debug("a detail")
    log.info("an info")
    log.warning("a warning")
    task_log.info("from a task logger")
    print("printed", "in one line")  # noqa: T201
    print("printed to stderr", file=sys.stderr)  # noqa: T201
    print("without an end", end="")  # noqa: T201


@task(name="writing.nothing")
def nothing() -> None:
    pass


@task(name="writing.then_fail")
def then_fail() -> None:
    log.info("about to fail")
    raise LookupError("gone")


@task(name="writing.kept_nowhere", keep_logs=False)
def kept_nowhere() -> None:
    log.warning("for the console alone")


@task(name="writing.until")
def until(path: str, word: str = "") -> None:
    log.info("process %d", os.getpid())
    while not os.path.exists(path):
        time.sleep(0.02)
    log.info("released %s", word)
    print("printed", word)  # noqa: T201


@task(name="writing.flood")
def flood(lines: int) -> None:
    for number in range(lines):
        log.info("line %d", number)
