"""Our distributions as wheels, and environments that hold nothing but one of them and what it asks for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pointsman_contract import RELEASE
from tests.stand.environment import ROOT

PROJECTS = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))
"""The folder of each distribution."""
_AWAY = re.compile(r"error sending request|dns error|failed to fetch|connect error|network|timed out", re.IGNORECASE)
_SECONDS = 180.0


class IndexAway(Exception):
    """No package index can be reached."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a directory that its programs are run in."""

    home: Path
    project: Path

    def program(self, name: str) -> str:
        """One of its programs."""
        return str(self.home / "bin" / name)

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of a shell that knows nothing of this checkout."""
        return {"PATH": f"{self.home / 'bin'}:/usr/bin:/bin", "HOME": str(self.project), **(more or {})}

    def run(self, *words: str, **variables: str) -> str:
        """What a program of it says on standard output. Fails with all it said when it does not end well."""
        ran = subprocess.run(
            [self.program(words[0]), *words[1:]],
            cwd=self.project, env=self.variables(variables), capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip
        assert ran.returncode == 0, f"{words}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def python(self, code: str, **variables: str) -> str:
        """What some Python says."""
        return self.run("python", "-c", code, **variables)

    def packages(self) -> set[str]:
        """The names of all that is installed."""
        listed = _uv("pip", "list", "--python", self.program("python"), "--format", "json")
        return {str(found["name"]) for found in json.loads(listed)}


def build_wheels(directory: Path) -> None:
    """Build every distribution."""
    for project in PROJECTS:
        words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        built = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=_SECONDS)
        assert built.returncode == 0, built.stderr


def install(wheel: str, wheels: Path, directory: Path, project: Path) -> Environment:
    """An environment of its own with one of our wheels, such as ``pointsman[http]``, and the locked versions of what
    that asks for. Raises ``IndexAway``.
    """
    home = directory / re.sub(r"\W+", "-", wheel).strip("-")
    _uv("venv", "--clear", "--python", sys.executable, str(home))
    _uv(
        "pip", "install", "--python", str(home / "bin" / "python"), "--find-links", str(wheels), "--no-build",
        "--constraint", str(ROOT / "requirements.lock"), f"{wheel}=={RELEASE}",
    )  # fmt: skip
    return Environment(home, project)


def _uv(*words: str) -> str:
    # No file of this checkout shall decide anything.
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [sys.executable, "-m", "uv", *words, "--no-config", "--quiet"]
    ran = subprocess.run(
        command, cwd="/", env=inherited | {"UV_LINK_MODE": "copy"}, capture_output=True, text=True, timeout=_SECONDS
    )
    if ran.returncode and _AWAY.search(ran.stderr):
        raise IndexAway(ran.stderr.strip().splitlines()[-1])
    assert ran.returncode == 0, f"{words}\n{ran.stderr}"
    return ran.stdout
