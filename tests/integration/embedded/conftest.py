"""Fixtures that start the supervisor and leave nothing of it behind."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from tests.integration.embedded.running_up import STRANGER, StartUp, Up

HERE = Path(__file__).parent


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What initdb makes; it takes two seconds, which most tests need not spend."""
    server = PostgresServer(tmp_path_factory.mktemp("cluster") / "postgres", settings={"fsync": "off"})
    server.prepare()
    server.close()
    return server.data_dir


@pytest.fixture
def start_up(data_dir: Path, new_cluster: Path, tmp_path: Path) -> Iterator[StartUp]:
    """Start a supervisor on ``data_dir`` with options, and environment variables by keyword."""
    started: list[Up] = []

    def start(*options: str, **environment: str) -> Up:
        if not data_dir.exists() and not environment.keys() & {"POINTSMAN_DATABASE_URL", "POINTSMAN_DATABASE_URL_FILE"}:
            shutil.copytree(new_cluster, data_dir / "postgres")
        command = [sys.executable, str(HERE / "fake_up.py"), "--data-dir", str(data_dir), "--port", "0", *options]
        # What killed processes leave in the temporary directory goes with the test's own.
        started.append(Up(command, {"TMPDIR": str(tmp_path), **environment}))
        return started[-1]

    yield start
    for up in started:
        up.close()


@pytest.fixture
def stranger_dir() -> Iterator[Path]:
    """A directory of an ordinary user that ordinary users can reach. Skips where that cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; all other tests ran as an ordinary one")
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="stranger-"))
    os.chown(path, STRANGER, STRANGER)
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start_up_as_stranger(stranger_dir: Path) -> Iterator[StartUp]:
    """Start a supervisor as an ordinary user."""
    python, environment = _python_for_stranger()
    started: list[Up] = []

    def start(data_dir: Path, *options: str, user: int = STRANGER) -> Up:
        command = [python, str(HERE / "fake_up.py"), "--data-dir", str(data_dir), "--port", "0", *options]
        started.append(Up(command, environment, user=user))
        return started[-1]

    yield start
    for up in started:
        up.close()


def _python_for_stranger() -> tuple[str, dict[str, str]]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {
        "PYTHONPATH": os.pathsep.join(
            [*(str(HERE.parents[2] / part) for part in ("contract", "service", "workers", "")), packages]
        ),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
    }
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            tried = subprocess.run(
                [python, "-c", "import pointsman_service.embedded.up"],
                env={**os.environ, **environment},
                cwd="/",
                user=STRANGER,
                group=STRANGER,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return python, environment
    if os.environ.get("POINTSMAN_CI") == "1":
        pytest.fail(f"no {version} that an ordinary user can run")
    pytest.skip(f"no {version} that an ordinary user can run")
