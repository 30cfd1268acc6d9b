"""What a test needs of the machine beside the locked packages."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/sbin")
"""Daemons live here, and an ordinary user's PATH does not name them."""


def program(name: str, package: str | None = None) -> Path:
    """The program of that name.

    Where it is missing the test is skipped and says which Debian package has it; with ``POINTSMAN_CI=1`` it fails.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM]))
    if found is None:
        missing(f"needs {name}: apt-get install {package or name}")
    return Path(found)


def missing(reason: str) -> NoReturn:
    """Skip the test; with ``POINTSMAN_CI=1`` fail it."""
    if os.environ.get("POINTSMAN_CI") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def stranger(path: str) -> Path:
    """A program of other people that ``scripts/strangers`` brings; where it is missing as for ``program``."""
    found = Path(__file__).parents[1] / ".strangers" / path
    if not found.exists():
        missing(f"needs {path}: ./scripts/strangers, which needs npm and the package registries")
    return found
