"""What a page for developers names in code spans and commands, and whether that exists.

A span is taken for what it looks like: a path (``submit/writer.py``, ``workers/pointsman/``), a file that is known by
its name alone (``gate.lua``), a module (``python -m tests.torture``), an endpoint (``POST /v1/tasks``), a command, or a
word of the code (``LEGAL_MOVES``, ``Submitter.admit``), which has to stand somewhere in it. Paths may leave out the
folders that ``PLACES`` lists. What has letters in ``<`` and ``>``, an ellipsis or a star stands for many, and is not
looked for.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.docs.markdown import blocks_of
from tests.stand.environment import ROOT

PLACES = (
    ROOT,
    ROOT / "docs",
    ROOT / "client" / "pointsman_client",
    *(ROOT / name for name in ("service/pointsman_service", "contract/pointsman_contract", "workers/pointsman")),
    *(ROOT / name for name in ("service", "contract", "workers", "client")),
)
_SOURCES = ("client", "contract", "service", "workers", "migrations", "scripts", "tests")
_SPEAKING = (".py", ".lua", ".sh", ".html", ".toml", ".txt", ".mako", "")
"""Suffixes of files whose words are words of the code."""
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_BLOCK = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)
_STANDS_FOR_MANY = re.compile(r"[<*…{]")
_ENDPOINT = re.compile(r"(?:(GET|POST|PUT|PATCH|DELETE) )?(/[\w/{}-]*)")
_SUFFIXED = re.compile(r"[\w.-]+\.(?:py|lua|md|json|toml|txt|sh|yml|ini|mako|lock|css)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
_MODULE = re.compile(r"(?:pointsman|pointsman_client|pointsman_contract|pointsman_service|tests)(?:\.\w+)+")
_WORD = re.compile(r"[A-Za-z_][\w.]*(?=$|\(|=)")
_RUN_MODULE = re.compile(r"python -m ([\w.]+)")
_MODULES_OF_OTHERS = {"pytest", "pip", "venv", "uv"}
_FOREIGN = frozenset({"reltuples", "purgatory", "pybreaker", "aiobreaker"})
"""Words of others that pages quote and our code does not say."""
_OF_OTHERS = {"__pycache__", "static", "node_modules"}


def spans(page: Path) -> Iterator[tuple[str, str]]:
    """Each code span and each line of a block of commands, with what it is said to be in a complaint."""
    text = page.read_text(encoding="utf-8")
    for found in _SPAN.finditer(_BLOCK.sub("", text)):
        yield found[1], found[1]
    for block in blocks_of(page, text):
        if block.language == "sh":
            for line in block.text.splitlines():
                yield line.partition("  #")[0].strip(), line


def faults(page: Path) -> list[str]:
    """What the page names and nobody finds."""
    return sorted({f"{shown}: {fault}" for span, shown in spans(page) if (fault := _fault(span)) is not None})


def _fault(span: str) -> str | None:
    if not span or span.startswith("#"):
        return None
    if endpoint := _ENDPOINT.fullmatch(span):
        return None if _is_endpoint(endpoint[1], endpoint[2]) else "there is no such endpoint"
    if " " in span:
        return _fault_of_command(span)
    if _STANDS_FOR_MANY.search(span):
        return None
    if _MODULE.fullmatch(span) and not _SUFFIXED.fullmatch(span):
        return None if _is_module(span) else "there is no such module, nor such a name in one"
    if ("/" in span and _PATH.fullmatch(span)) or _SUFFIXED.fullmatch(span):
        return None if _is_path(span) else "there is no such file"
    if word := _WORD.match(span):
        return None if set(word[0].split(".")) <= _words() | _FOREIGN else "no code says this"
    return None


def _fault_of_command(command: str) -> str | None:
    for module in _RUN_MODULE.findall(command):
        if module not in _MODULES_OF_OTHERS and not _is_module(module):
            return f"there is no module {module}"
    for part in command.split():
        is_path = part.startswith(("./", ".venv/", "tests/", "scripts/", "docs/"))
        if is_path and not _STANDS_FOR_MANY.search(part) and not (ROOT / part.partition("::")[0]).exists():
            return f"there is no {part}"
    return None


def _is_path(path: str) -> bool:
    if any((place / path).exists() for place in PLACES):
        return True
    return "/" not in path and path in _names_of_files()


def _is_module(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        for place in PLACES:
            base = place.joinpath(*parts[:length])
            file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
            if base.is_dir() and length == len(parts):
                return True
            if file.is_file():
                said = file.read_text(encoding="utf-8")
                return all(re.search(rf"\b{part}\b", said) for part in parts[length:])
    return False


def _is_endpoint(method: str | None, path: str) -> bool:
    operations = _document().get(path, {})
    return bool(operations) and (method is None or method.lower() in operations)


@cache
def _document() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))[
        "paths"
    ]
    return found


@cache
def _files() -> tuple[Path, ...]:
    found = [file for name in _SOURCES for file in (ROOT / name).rglob("*") if not _OF_OTHERS & {*file.parts}]
    return tuple(file for file in (*found, *ROOT.iterdir()) if file.is_file())


@cache
def _names_of_files() -> frozenset[str]:
    return frozenset(file.name for file in _files())


@cache
def _words() -> frozenset[str]:
    """Every word of the code, of its comments and of its SQL. Those of the tests of pages are not asked."""
    pages = ROOT / "tests" / "docs"
    return frozenset(
        word
        for file in _files()
        if file.suffix in _SPEAKING and pages not in file.parents
        for word in re.findall(r"\w+", file.read_text(encoding="utf-8"))
    )
