"""Where in the code of a task's author a failure began, read from its traceback as Python writes it."""

import re
from functools import lru_cache

_MOST = 5
_LONGEST_READ = 16 * 1024
_LONGEST_NAME = 200
_HEAD = "Traceback (most recent call last):"
_LIBRARIES = ("celery/", "kombu/", "billiard/", "vine/", "amqp/", "pointsman/", "pointsman_contract/")
_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHON = re.compile(r"/lib(?:64)?/python3(?:\.\d{1,3})?t?/|/lib-dynload/|[/\\]Lib[/\\](?!site-packages)|^<")
_OURS = re.compile(r"/(?:workers/pointsman|contract/pointsman_contract)/")
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""No frames of their own from Python 3.12 on."""
_DIGITS = re.compile(r"\d+")


@lru_cache(maxsize=256)
def frames_of(traceback: str) -> tuple[str, ...]:
    """The innermost frames, the innermost first, each once: ``shop/tasks.py charge``. At most five, without the numbers
    of lines, and with the last folder alone, so that another release at another place is no other cause.

    Left out are those of Python, of Celery and of ours; what else is installed counts only where there is nothing else.
    """
    own: dict[str, None] = {}
    installed: dict[str, None] = {}
    for line in reversed(_newest(traceback)):
        found = _frame(line)
        if found is None:
            continue
        path, function = found
        into = _place(path)
        if into is not None:
            (installed if into else own)[f"{_tail(path)} {function}"] = None
    return tuple(own or installed)[:_MOST]


@lru_cache(maxsize=256)
def innermost(traceback: str) -> str | None:
    """Where to look first: ``shop/tasks.py:41``, the innermost line of the author's own code; where there is none, of
    what is installed. None: it tells no such line.
    """
    installed = None
    for line in reversed(_newest(traceback)):
        found = _frame(line)
        if found is None:
            continue
        into = _place(found[0])
        if into is None:
            continue
        _, _, at = line.rpartition(", line ")
        place = f"{_tail(found[0])}:{at.partition(',')[0]}"
        if not into:
            return place
        installed = installed or place
    return installed


def _newest(traceback: str) -> list[str]:
    """The lines of the exception itself, and not of what led to it."""
    text = traceback[-_LONGEST_READ:]
    return text[max(text.rfind(_HEAD), 0) :].splitlines()


def _frame(line: str) -> tuple[str, str] | None:
    told = line.lstrip(" |")
    if len(told) == len(line) or not told.startswith('File "'):
        return None
    path, quote, rest = told[6:].partition('"')
    at, comma, function = rest.partition(", in ")
    if not quote or not comma or not at.startswith(", line ") or function in _INLINED:
        return None
    return path, function[:_LONGEST_NAME]


def _place(path: str) -> bool | None:
    """Whether it is of something installed; None: of nobody who wrote the task."""
    told = path.replace("\\", "/")
    for folder in _INSTALLED:
        _, found, inside = told.rpartition(folder)
        if found:
            return None if inside.startswith(_LIBRARIES) else True
    return None if _PYTHON.search(path) or _OURS.search(told) else False


def _tail(path: str) -> str:
    *folders, name = path.replace("\\", "/").split("/")
    folder = _DIGITS.sub("#", folders[-1]) + "/" if folders and folders[-1] else ""
    return (folder + name)[-_LONGEST_NAME:]
