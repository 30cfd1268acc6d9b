"""A virtual environment that holds nothing but what this one lends it: no test fetches packages from a registry."""

import sys
import sysconfig
import venv
from pathlib import Path

from tests.stand.environment import inherited


def lent_environment(directory: Path) -> dict[str, str]:
    """The variables of somebody who has it active. It lies in ``directory``, as ``.venv``."""
    home = directory / ".venv"
    venv.create(home, symlinks=True)
    lent = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages" / "lent.pth"
    lent.write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = home / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {home}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    taken = inherited()
    return taken | {
        "PATH": f"{home / 'bin'}:{taken['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own oddity: this means none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
