"""Every ``pip`` command of the pages that names a folder of the checkout does what it says."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.lent import lent_environment
from tests.docs.markdown import PAGES
from tests.stand.environment import ROOT

_COMMAND = re.compile(r"pip (?:install|wheel)\b[^`\n]*(?:\n[^`\n]*)?(?=`)|^pip (?:install|wheel) .*$", re.MULTILINE)
COMMANDS = sorted(
    {" ".join(found[0].split()) for page in PAGES for found in _COMMAND.finditer(page.read_text()) if "./" in found[0]}
)
_SECONDS = 120.0


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that is like a checkout, and has one beside it."""
    found = tmp_path_factory.mktemp("installing")
    for name in ("client", "contract", "migrations", "service", "workers"):
        (found / name).symlink_to(ROOT / name)
    (found / "pointsman").symlink_to(ROOT)
    return found


@pytest.fixture(scope="module")
def environment(directory: Path) -> dict[str, str]:
    return lent_environment(directory)


def test_the_pages_say_how_to_install_each_part() -> None:
    parts = ("/client", "/contract", "/workers", "/service")
    assert all(any(part in command for command in COMMANDS) for part in parts)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_page_installs_can_be_installed(command: str, directory: Path, environment: dict[str, str]) -> None:
    words = shlex.split(command)
    if words[1] == "install":
        words.insert(2, "--dry-run")
    ran = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    if words[1] == "wheel":
        assert len(list((directory / "dist").glob("pointsman*.whl"))) == 4
