"""Where the checkout is, and what a process of a test takes from the shell it is started from."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def inherited(without: Iterable[str] = ("POINTSMAN_",)) -> dict[str, str]:
    """The variables of this shell, but those that begin so: a setting of whoever runs the tests must not reach them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(tuple(without))}


def keep_bytecode() -> None:
    """Let whatever is started from here keep what it compiles, though this shell says otherwise: one installation is
    five processes of several hundred modules each, and many are started in a run.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
