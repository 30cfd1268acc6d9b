"""Whether a program said what the page shows.

A page shows a sketch: ``…`` stands for anything, a number for any number, and what is left out of a JSON object, of a
list or of the lines may be there.
"""

import json
import re
from typing import Any

_DECODER = json.JSONDecoder()
_DOCUMENT = re.compile(r"^[{\[]|(?<=[}\]])[{\[]", re.MULTILINE)
_WORD = re.compile(r"(?P<anything>…)|(?P<number>\d+(?:\.\d+)?)|(?P<space>\s+)")
_PATTERNS = {"anything": ".*", "number": r"\d+(?:\.\d+)?(?:e-\d+)?", "space": r"\s+"}


def is_like(sketch: str, said: str) -> bool:
    """Whether one line or string is what the sketch shows."""
    pattern, at = "", 0
    for word in _WORD.finditer(sketch):
        pattern += re.escape(sketch[at : word.start()]) + _PATTERNS[str(word.lastgroup)]
        at = word.end()
    return re.fullmatch(pattern + re.escape(sketch[at:]), said, re.DOTALL) is not None


def missing_line(sketch: str, said: str) -> str | None:
    """The first line of the sketch that was not said, in its order; None when all were."""
    lines = iter(said.splitlines())
    for wanted in filter(str.strip, sketch.splitlines()):
        if not any(is_like(wanted.strip(), line.strip()) for line in lines):
            return wanted
    return None


def missing_part(sketch: Any, said: Any, path: str = "") -> str | None:
    """The first part of a JSON sketch that is not in what was said, as a path; None when all is. Null is like all."""
    if sketch is None or said is None:
        return None
    if isinstance(sketch, dict):
        if not isinstance(said, dict):
            return path
        absent = next((f"{path}/{name}" for name in sketch if name not in said), None)
        return absent or next(
            (fault for name, part in sketch.items() if (fault := missing_part(part, said[name], f"{path}/{name}"))),
            None,
        )
    if isinstance(sketch, list):
        if not isinstance(said, list):
            return path
        unmatched = (i for i, part in enumerate(sketch) if all(missing_part(part, one, "x") for one in said))
        return next((f"{path}/{number}" for number in unmatched), None)
    if isinstance(sketch, str):
        return None if isinstance(said, str) and is_like(sketch, said) else path
    if isinstance(sketch, bool) or isinstance(said, bool):
        return None if sketch is said else path
    return None if isinstance(said, int | float) else path


def json_said(said: str) -> Any:
    """The last JSON document in what a program said, which may come after headers and others. Raises ``ValueError``."""
    start = _DOCUMENT.search(said)
    if start is None:
        raise ValueError(f"it said no JSON:\n{said}")
    document, at = None, start.start()
    while _DOCUMENT.match(said, at):
        document, at = _DECODER.raw_decode(said, at)
        at += len(said[at:]) - len(said[at:].lstrip())
    return document
