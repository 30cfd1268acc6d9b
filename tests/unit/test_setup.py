import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

SETUP = Path(__file__).parents[2] / "scripts" / "setup"


def test_an_environment_that_was_begun_without_pip_is_brought_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    (tmp_path / "requirements.lock").touch()
    environment = venv.EnvBuilder(symlinks=True, with_pip=False)
    environment.create(tmp_path / ".venv")
    python = tmp_path / ".venv" / "bin" / "python"
    ran = subprocess.run(
        [tmp_path / "scripts" / "setup"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert "pyproject.toml" in ran.stderr, "everything but what is not here: the project"
    subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
