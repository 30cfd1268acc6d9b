"""The documentation as the tests read it: pages, their fenced blocks, and what stands above a block for its reader.

A block is run as its language says: ``sh`` in the shell of its page, ``python`` as a file of its own, ``json`` and
``toml`` are parsed, ``text`` and ``mermaid`` are only shown. ``json`` or ``text`` right after a block that was run,
with nothing between, is what that block answers, abridged (``tests.docs.sketch``). A ``python`` block that begins with
``# path/name.py`` is that file for every other block: a module of tasks, a test for pytest, or whatever else. The one
``./scripts/up`` of all pages has the settings of each that stands in a block run in the background. Ports 8000 to 8009
and redis://127.0.0.1:6379 stand for others. A comment on the lines above a fence is a marker:

========================================  ============================================================================
``<!-- not run: reason -->``              shown only; any language
``<!-- not run: until path is here -->``  the same, while this checkout has no such file
``<!-- run: in the background -->``       left running until the page ends; it must end well when it is told to
``<!-- run: in the background until "x" -->``  the same, and what follows waits until it has said x
``<!-- run: again until "x" -->``         repeated until it says x, as with the arrow key
``<!-- run: from nothing -->``            not on the page's stack, but in an empty directory (``test_from_nothing``)
``<!-- run: validated only -->``          a submission that cannot be done here, sent to ``/v1/tasks/validate``
``<!-- the result -->``                   of ``json`` right after a submission: it succeeds, with this for its result
``<!-- answers 422 -->``                  the last HTTP answer of the block has this status; without it all are 2xx
``<!-- exits 1 -->``                      the block ends with this status
========================================  ============================================================================
"""

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tests.stand.environment import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

RUN = ("sh", "python")
PARSED = ("json", "toml")
SHOWN = ("text", "mermaid")

_FENCE = re.compile(r"^ *```(?P<language>\S*) *$")
_COMMENT = re.compile(r"^ *<!-- *(?P<words>.*?) *--> *$")
_FILE = re.compile(r"# (?P<path>[\w/]+\.py)\b")
_AWAITED = re.compile(r"until (?P<path>\S+) is here")
_MARKERS = {
    "not_run": re.compile(r"not run: (.+)"),
    "background": re.compile(r'run: in the background(?: until "(.+)")?'),
    "again_until": re.compile(r'run: again until "(.+)"'),
    "validated": re.compile(r"run: validated only"),
    "result": re.compile(r"the result"),
    "from_nothing": re.compile(r"run: from nothing"),
    "answers": re.compile(r"answers (\d{3})"),
    "exits": re.compile(r"exits (\d+)"),
}


class BadPage(Exception):
    """A page says something its test does not understand. The message names the line."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    """Of its fence, from 1."""
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)
    """What stands above it, by name, with what it names."""
    follows: bool = False
    """Whether nothing but markers is between it and the block before."""

    @property
    def where(self) -> str:
        """Its page and line, to be clicked."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path of the Python file it is, or None."""
        found = _FILE.match(self.text) if self.language == "python" else None
        return None if found is None else found["path"]

    @property
    def is_run(self) -> bool:
        """Whether it does something on the page's stack."""
        return self.language in RUN and not self.markers.keys() & {"not_run", "from_nothing"}


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """Every fenced block of a page, in order. Raises ``BadPage``."""
    found: list[Block] = []
    lines = (page.read_text() if text is None else text).splitlines()
    start, end = 0, 0
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if not start:
            start, language = number, fence["language"]
            continue
        if fence["language"]:
            raise BadPage(f"{page.name}:{number}: a block begins inside the one of line {start}")
        between = [text for text in lines[end : start - 1] if text.strip() and not _COMMENT.match(text)]
        markers = _markers_above(page, lines, start)
        inside = textwrap.dedent("\n".join(lines[start : number - 1]))
        found.append(Block(page, start, language, inside, markers, bool(found) and not between))
        start, end = 0, number
    if start:
        raise BadPage(f"{page.name}:{start}: this block does not end")
    for block in found:
        _check(block)
    return found


def _markers_above(page: Path, lines: list[str], fence: int) -> dict[str, str]:
    found: dict[str, str] = {}
    above = fence - 1
    while above > 0 and (comment := _COMMENT.match(lines[above - 1])):
        for name, pattern in _MARKERS.items():
            if marker := pattern.fullmatch(comment["words"]):
                found[name] = (marker[1] or "") if pattern.groups else ""
                break
        else:
            raise BadPage(f"{page.name}:{above}: unknown marker: {comment['words']}")
        above -= 1
    return found


def _check(block: Block) -> None:
    if "not_run" in block.markers:
        awaited = _AWAITED.fullmatch(block.markers["not_run"])
        if awaited and (ROOT / awaited["path"]).exists():
            raise BadPage(f"{block.where}: {awaited['path']} is here: take the marker away")
        return
    if block.language not in (*RUN, *PARSED, *SHOWN):
        what = f"the language {block.language}" if block.language else "no language"
        raise BadPage(f"{block.where}: a block with {what} can neither be run nor shown; mark it, or say text")
    if any(block.language != ("json" if name == "result" else "sh") for name in block.markers):
        raise BadPage(f"{block.where}: a {block.language} block does not take {', '.join(block.markers)}")
