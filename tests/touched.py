"""Which tests a change touches: those that import what was changed, nearest first.

``.venv/bin/python -m tests.touched`` tells what it would choose and why; ``./scripts/check`` runs it.
"""

import argparse
import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from tests.stand.environment import ROOT

FARTHEST = 2
"""Imports between a test and what was changed. Farther away nearly everything imports nearly everything."""
SENSIBLE = ("tests/integration/submit", "tests/integration/record", "tests/integration/reconcile/test_sweeps.py")
"""One submission to its end, for a change of which nobody can tell what it touches."""
_GUESSED = f"running {', '.join(SENSIBLE)}"
_HOMES = ("client/", "contract/", "service/", "workers/", "")
_BEST_GUESS = "nobody can tell"
_SHOWN = 12
"""Test files that are named with the reason; of the others the number is told."""
_ROOMS: dict[str, tuple[str, ...]] = {
    "client": ("wheels",),
    "pointsman": ("workers",),
    "api": ("read", "operate", "submit"),
    "embedded": ("embedded", "deploy"),
    "migrations": ("store", "record"),
}
"""Folders of tests/integration by package, where they are not of one name."""
_INTEGRATION = "tests/integration/"
_RUN_ANYWAY = ("tests/unit/", "tests/migration/")
_SURROUNDS_ALL = "tests/conftest.py"
"""Its servers are of every test, so it tells nothing of any."""
_WITHOUT_TESTS = re.compile(r"^(docs/|LICENSE|\.gitignore|tests/(unit|migration|benchmark|strangers)/)|\.md$")
"""What no integration test reads; unit tests run anyway."""
_EVERYTHING = re.compile(r"^(pyproject\.toml|.*\.lock|uv\.lock|alembic\.ini|\.ci/)")
"""What anything may depend on."""


@dataclass(frozen=True)
class Chosen:
    """A test file and why it is run."""

    path: str
    distance: int
    reason: str


@dataclass(frozen=True)
class Choice:
    """The tests to run, nearest first, and what else a person should know."""

    tests: tuple[Chosen, ...]
    remarks: tuple[str, ...]


class Sources:
    """Every file of a checkout, and which Python files import which others."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """``texts`` by path from the root."""
        self._texts = texts
        self._by_module = {module_of(path): path for path in texts if path.endswith(".py")}
        self._importers: defaultdict[str, set[str]] = defaultdict(set)
        for path in self._by_module.values():
            for imported in self._imports(path):
                self._importers[imported].add(path)

    def __contains__(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._texts

    def importers(self, path: str) -> set[str]:
        """The files that import this one, and the tests that a ``conftest.py`` surrounds."""
        return self._importers[path] | self.surrounded(path)

    def surrounded(self, path: str) -> set[str]:
        """The tests beside and below a ``conftest.py``; of any other file none."""
        if PurePosixPath(path).name != "conftest.py" or path == _SURROUNDS_ALL:
            return set()
        folder = path.removesuffix("conftest.py")
        return {other for other in self._texts if other.startswith(folder) and is_test(other)}

    def readers(self, path: str) -> set[str]:
        """The Python files that name a file which is no Python."""
        name = PurePosixPath(path)
        stem = re.escape(name.stem if name.suffix == ".lua" else name.name)
        # Without a suffix it may be any word, but not behind its folder.
        before = r"[\"'/]" if name.suffix else rf"{re.escape(name.parent.name)}[\"']?\s*/\s*[\"']?"
        pattern = re.compile(rf"{before}{stem}[\"'\s]")
        return {other for other, text in self._texts.items() if pattern.search(text)}

    def tests_in(self, folder: str) -> list[str]:
        """The test files of a folder or, if it is one itself, that file."""
        return sorted(
            path for path in self._texts if is_test(path) and (path == folder or path.startswith(folder + "/"))
        )

    def _imports(self, path: str) -> Iterator[str]:
        try:
            tree = ast.parse(self._texts[path])
        except SyntaxError:
            # ruff names it.
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            yield from (self._by_module[name] for name in names if name in self._by_module)


def module_of(path: str) -> str:
    """The import name of a Python file."""
    for home in _HOMES:
        if path.startswith(home):
            path = path.removeprefix(home)
            break
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_test(path: str) -> bool:
    """Whether pytest would collect it."""
    return path.startswith("tests/") and PurePosixPath(path).name.startswith("test_") and path.endswith(".py")


def choose(sources: Sources, changed: Iterable[str]) -> Choice:
    """The integration tests that these changed files touch."""
    distances: dict[str, tuple[int, str]] = {}
    remarks = []
    for path in sorted(changed):
        if _WITHOUT_TESTS.search(path) or (path.endswith(".py") and path not in sources):
            # No test reads it, or it is gone: mypy tells who misses it.
            continue
        if is_test(path):
            is_quick = path.startswith(_INTEGRATION)
            _note(distances, path, 0 if is_quick else FARTHEST + 1, "it was changed")
            continue
        near = {} if _EVERYTHING.match(path) else dict(_touched(sources, path))
        found = {test: distance for test, distance in near.items() if test.startswith(_INTEGRATION)}
        if any(test.startswith(_RUN_ANYWAY) for test in near) and not found:
            remarks.append(f"{path}: only unit tests look at it, and they run anyway")
        elif not found and path.startswith("tests/"):
            remarks.append(f"{path}: only tests that take long use it, which ./scripts/test runs")
        elif not found:
            remarks.append(f"{path}: nobody can tell what it touches; {_GUESSED}")
            found = {test: FARTHEST + 1 for folder in SENSIBLE for test in sources.tests_in(folder)}
        for test, distance in found.items():
            _note(distances, test, distance, f"{distance} from {path}" if distance <= FARTHEST else _BEST_GUESS)
    tests = [Chosen(path, distance, reason) for path, (distance, reason) in distances.items()]
    return Choice(tuple(sorted(tests, key=lambda test: (test.distance, test.path))), tuple(remarks))


def _note(distances: dict[str, tuple[int, str]], test: str, distance: int, reason: str) -> None:
    if test not in distances or distance < distances[test][0]:
        distances[test] = (distance, reason)


def _touched(sources: Sources, path: str) -> Iterator[tuple[str, int]]:
    """The tests near a file, each with its distance."""
    is_python = path.endswith(".py")
    level = {path} if is_python else sources.readers(path)
    nearest = 0 if is_python else 1
    distances: dict[str, int] = dict.fromkeys(level, nearest)
    for folder in _rooms_of(path):
        distances |= dict.fromkeys(sources.tests_in(_INTEGRATION + folder), 1)
    for distance in range(nearest + 1, FARTHEST + 1):
        level = {importer for known in level for importer in sources.importers(known)}
        # What surrounds a test is as near as what it imports.
        level |= {test for known in level for test in sources.surrounded(known)}
        level -= distances.keys()
        distances |= dict.fromkeys(level, distance)
    yield from ((found, at) for found, at in distances.items() if is_test(found))


def _rooms_of(path: str) -> tuple[str, ...]:
    """The folders of integration tests for the package a file lies in."""
    parts = PurePosixPath(path).parts
    if parts[0] == "migrations":
        return _ROOMS[parts[0]]
    if parts[0] not in ("client", "contract", "service", "workers") or len(parts) < 3:
        return ()
    return _ROOMS.get(parts[2], _ROOMS.get(parts[1], (parts[2],)))


def changed_files(since: str) -> list[str]:
    """What differs from a revision, committed or not, and what is new."""
    differing = _git("diff", "--name-only", "--no-renames", since)
    new = _git("ls-files", "--others", "--exclude-standard")
    return sorted({*differing, *new})


def base() -> str:
    """Where the branch left main; on main itself, the last commit."""
    for main in ("main", "origin/main", "master", "origin/master"):
        if _git("rev-parse", "--verify", "--quiet", main, check=False):
            (found,) = _git("merge-base", "HEAD", main)
            return found
    return "HEAD"


def read_sources() -> Sources:
    """Of this checkout."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard")
    paths = [path for path in listed if path.endswith(".py") and (ROOT / path).is_file()]
    return Sources({path: (ROOT / path).read_text(encoding="utf-8") for path in paths})


def _git(*words: str, check: bool = True) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=check)
    return done.stdout.splitlines()


def main() -> None:
    """Write the chosen files on standard output, a line each, and the reasons beside it."""
    parser = argparse.ArgumentParser(description="Choose the tests that a change touches.")
    parser.add_argument("--since", help="what was changed since this revision; else since the branch left main")
    since = parser.parse_args().since or base()
    changed = changed_files(since)
    choice = choose(read_sources(), changed)
    say = sys.stderr.write
    say(f"check: {len(changed)} files differ from {since[:12]}\n")
    for remark in choice.remarks[:_SHOWN]:
        say(f"check: {remark}\n")
    for test in choice.tests[:_SHOWN]:
        say(f"check: {test.path} ({test.reason})\n")
    if choice.tests[_SHOWN:]:
        say(f"check: and {len(choice.tests) - _SHOWN} more test files that are no nearer\n")
    if not choice.tests:
        say("check: no integration test is near that\n")
    sys.stdout.writelines(f"{test.path}\n" for test in choice.tests)


if __name__ == "__main__":
    main()
