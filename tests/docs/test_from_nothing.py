"""A stranger's own task, from ``pip install`` to ``succeeded``, in the lines that the documentation gives for it.

The packages come from this environment and not from a registry; Pointsman itself is built and installed.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pointsman_service.embedded.ports import free_port
from tests.docs.lent import lent_environment
from tests.docs.markdown import PAGES, blocks_of
from tests.docs.shell import CURL_SETTINGS, Shell
from tests.docs.sketch import json_said, missing_part
from tests.stand.environment import ROOT

_LINES = 6
_LINE_SECONDS = 150.0
_PAUSE_SECONDS = 0.2


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
    (tmp_path / ".curlrc").write_text(CURL_SETTINGS)
    environment = lent_environment(tmp_path) | {"CURL_HOME": str(tmp_path), "POINTSMAN_PORT": str(port)}
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
