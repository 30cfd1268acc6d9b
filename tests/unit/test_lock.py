import re
import subprocess
import sys
import tomllib
from itertools import chain
from typing import Any

import pytest

from pointsman_contract import RELEASE
from tests.stand.environment import ROOT

PROJECTS = sorted(path.parent.name for path in ROOT.glob("*/pyproject.toml"))
"""The folders of our distributions."""
EXPORT = ["export", "--format", "requirements-txt", "--no-emit-workspace", "--no-header"]


def project_of(folder: str) -> Any:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("requirements.lock", ["--extra", "embedded", "--extra", "dev"]),
        ("requirements.runtime.lock", []),
        ("requirements.service.lock", ["--package", "pointsman-service"]),
        ("requirements.workers.lock", ["--package", "pointsman", "--extra", "all"]),
        ("requirements.bench.lock", ["--all-extras"]),
    ],
)
def test_requirements_are_what_uv_lock_says(file: str, words: list[str]) -> None:
    """After a change of dependencies: ``uv lock``, then ``uv export`` with these words into each file."""
    words = [sys.executable, "-m", "uv", *EXPORT, *words, "--frozen", "--offline", "--quiet"]
    exported = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / file).read_text(encoding="utf-8") == exported


@pytest.mark.parametrize("folder", [".", *PROJECTS])
def test_uv_lock_follows_pyproject(folder: str) -> None:
    project = project_of(folder)
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    (ours,) = [package for package in locked if package["name"] == project["name"]]
    stated = {requirement["name"] for requirement in ours["metadata"]["requires-dist"]}
    wanted = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    names = {re.match(r"[\w-]+", line) for line in chain.from_iterable(wanted)}
    assert stated == {name.group() for name in names if name}


@pytest.mark.parametrize("folder", PROJECTS)
def test_every_distribution_is_of_one_release_and_asks_for_the_others_of_it(folder: str) -> None:
    project = project_of(folder)
    assert project["version"] == RELEASE
    asked = chain(project["dependencies"], *project.get("optional-dependencies", {}).values())
    others = [line for line in asked if re.match(r"pointsman", line) and not line.startswith(f"{project['name']}[")]
    assert all(line.endswith(f"=={RELEASE}") for line in others)
