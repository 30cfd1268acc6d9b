"""The log lines of the source, and those that the documentation explains."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.stand.environment import ROOT

SOURCES = ("service", "workers", "contract")
PAGE = ROOT / "docs" / "troubleshooting.md"
EXPLAINED = frozenset({"warning", "error"})
"""Every line of these levels must be explained."""

_LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error", "critical": "error"}
_LOGGERS = frozenset({"log", "logger"})
_FIELD = re.compile(r"%[\d.]*[sdrfg]")
_ROW = re.compile(r"^\| (?P<level>info|warning|error) \| `(?P<text>.+?)` \|", re.MULTILINE)


class Line(NamedTuple):
    """One log line; ``…`` stands for what varies."""

    level: str
    text: str


class NotConstant(Exception):
    """A log call whose message is put together at run time: nobody could look for it."""


@cache
def in_source() -> frozenset[Line]:
    """Every log line of the packages. Raises ``NotConstant``."""
    return frozenset(
        line for package in SOURCES for path in (ROOT / package).rglob("*.py") for line in lines_of(path.read_text())
    )


def lines_of(source: str) -> Iterator[Line]:
    """The log lines of a module. Raises ``NotConstant``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_logger(node.func.value):
            level = _LEVELS.get(node.func.attr)
            if level is not None:
                yield from (Line(level, _FIELD.sub("…", text)) for text in _texts(node.args[0]))


def _is_logger(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _LOGGERS


def _texts(message: ast.expr) -> Iterator[str]:
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        yield message.value
    elif isinstance(message, ast.IfExp):
        yield from _texts(message.body)
        yield from _texts(message.orelse)
    else:
        raise NotConstant(ast.unparse(message))


def loggers_named_otherwise(source: str) -> list[str]:
    """Loggers of a module that ``lines_of`` would not see."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and node.value.args
        and ast.unparse(node.value.func) in ("logger", "logging.getLogger", "get_logger", "structlog.get_logger")
        and not all(_is_logger(target) for target in node.targets)
    ]


def explained(page: Path = PAGE) -> list[Line]:
    """The rows of the page's tables."""
    return [Line(found["level"], found["text"]) for found in _ROW.finditer(page.read_text())]


def said_by_up() -> set[str]:
    """What the supervisor says on its console, ``…`` for what varies."""
    texts = set()
    for path in (ROOT / "service" / "pointsman_service" / "embedded").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say":
                texts |= {_with_gaps(part) for part in node.args[1:]}
    return texts


def _with_gaps(message: ast.expr) -> str:
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in message.values)
    return "…"
