import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

from contract import RELEASE

ROOT = Path(__file__).parents[2]
EXPORT = ["export", "--format", "requirements-txt", "--all-extras", "--no-emit-project", "--no-header"]


def test_requirements_lock_is_what_uv_lock_says() -> None:
    """After a change of dependencies: ``uv lock``, then ``uv export`` with the words above into requirements.lock."""
    words = [sys.executable, "-m", "uv", *EXPORT, "--frozen", "--offline", "--quiet"]
    exported = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "requirements.lock").read_text(encoding="utf-8") == exported


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
