import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from pointsman_contract import RELEASE

ROOT = Path(__file__).parents[2]
EXPORT = ["export", "--format", "requirements-txt", "--no-emit-project", "--no-header"]


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.lock", ["--extra", "embedded", "--extra", "dev"]),
        ("requirements.runtime.lock", []),
        ("requirements.bench.lock", ["--all-extras"]),
    ],
)
def test_requirements_are_what_uv_lock_says(file: str, extras: list[str]) -> None:
    """After a change of dependencies: ``uv lock``, then ``uv export`` with these words into each file."""
    words = [sys.executable, "-m", "uv", *EXPORT, *extras, "--frozen", "--offline", "--quiet"]
    exported = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / file).read_text(encoding="utf-8") == exported


def test_uv_lock_follows_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    (ours,) = [package for package in locked if package["name"] == project["name"]]
    stated = {requirement["name"] for requirement in ours["metadata"]["requires-dist"]}
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w-]+", line) for line in chain.from_iterable(wanted)}
    assert stated == {name.group() for name in names if name}


def test_the_release_is_the_one_of_pyproject() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == RELEASE
