"""A stranger's own task, from ``pip install`` to ``succeeded``, in the lines that the documentation gives for it.

The packages come from this environment and not from a registry; Pointsman itself is built and installed.
"""

import json
import os
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from pointsman_service.embedded.ports import free_port
from tests.docs.markdown import PAGES, ROOT, blocks_of
from tests.docs.shell import CURL_SETTINGS, Shell
from tests.docs.sketch import json_said, missing_part

_LINES = 6
_LINE_SECONDS = 150.0
_PAUSE_SECONDS = 0.2


def _environment(directory: Path, port: int) -> dict[str, str]:
    """Of an active virtual environment that holds nothing but what this one lends it."""
    home = directory / ".venv"
    venv.create(home, symlinks=True)
    lent = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages" / "lent.pth"
    lent.write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = home / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {home}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    (directory / ".curlrc").write_text(CURL_SETTINGS)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_")}
    return inherited | {
        "PATH": f"{home / 'bin'}:{inherited['PATH']}",
        "CURL_HOME": str(directory),
        "POINTSMAN_PORT": str(port),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own oddity: this means none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_strangers_own_task_succeeds_in_six_lines(
    curl: None, tmp_path: Path, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    (place,) = [number for number, block in enumerate(blocks) if "from_nothing" in block.markers]
    lines = [line for line in blocks[place].text.splitlines() if line.strip()]
    assert len(lines) == _LINES
    sketch = json.loads(blocks[place + 1].text)
    port = free_port()
    environment = _environment(tmp_path, port)
    (tmp_path / "pointsman").symlink_to(ROOT)
    began = time.monotonic()
    with Shell(tmp_path, environment) as shell:
        for line in lines[:-1]:
            said = shell.run(line.replace("127.0.0.1:8000", f"127.0.0.1:{port}"), _LINE_SECONDS)
            assert said.status == 0, f"{line}\n{said.all}"
            assert all(answer < 300 for answer in said.answers), f"{line}\n{said.all}"
        while True:
            said = shell.run(lines[-1].replace("127.0.0.1:8000", f"127.0.0.1:{port}"), _LINE_SECONDS)
            missing = missing_part(sketch, json_said(said.out))
            if missing is None:
                break
            assert time.monotonic() - began < _LINE_SECONDS, f"{missing} is not in the answer:\n{said.all}"
            time.sleep(_PAUSE_SECONDS)
        seconds = round(time.monotonic() - began, 1)
        shell.run("kill %1; wait", _LINE_SECONDS)
    record_property("seconds_from_pip_install_to_succeeded", seconds)
    request.config.get_terminal_writer().line(f"from pip install to succeeded: {seconds} s")
