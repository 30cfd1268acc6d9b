"""The shell scripts, called from a directory that is not the checkout."""

import subprocess
from pathlib import Path

import pytest

from tests.stand.environment import ROOT, inherited


@pytest.mark.parametrize("words", [("up",), ("celery_workers.sh", "status")], ids=lambda words: words[0])
def test_module_lies_where_the_script_is_called_from(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "my_settings.py").write_text("worker_log_level = log_level = 'LOUD'\n")
    taken = inherited()
    answer = subprocess.run(
        [str(ROOT / "scripts" / words[0]), *words[1:]],
        cwd=tmp_path,
        env=taken | {"POINTSMAN_CONFIG": "my_settings", "POINTSMAN_LOGS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "my_settings" in answer.stderr
    assert "Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'" in answer.stderr
