import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from pointsman.settings import Settings as WorkerSettings
from pointsman_service.settings import Settings as ServiceSettings
from tests.stand.environment import ROOT
from tests.unit.deploy.dockerfile import DOCKERFILE, reaches_the_builder, stages

PROGRAMS = Path(sys.executable).parent
PARTS = ("runtime", "service", "workers")
PYTHONS_OWN = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED"}


def test_hadolint_finds_nothing_and_nothing_is_hidden_from_it() -> None:
    assert not list(ROOT.glob(".hadolint*"))
    found = subprocess.run(
        [PROGRAMS / "hadolint", "--disable-ignore-pragma", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_both_stages_start_from_one_pinned_python() -> None:
    bases = {stage.base for stage in stages()}
    assert len(stages()) == 2
    assert len(bases) == 1
    assert re.search(r":3\.\d+-slim-\w+$", bases.pop())


def test_every_package_is_locked_by_its_hash_and_no_compiler_is_needed() -> None:
    installing = next(run.text for run in stages()[0].all("RUN") if " install " in run.text)
    assert "--require-hashes --only-binary :all:" in installing
    assert "requirements.${PART}.lock" in installing


def test_container_is_nobody_with_a_number() -> None:
    user = stages()[-1].only("USER").text
    number = re.fullmatch(r"(\d+):(\d+)", user)
    assert number
    assert int(number[1]) >= 1000


def test_signals_reach_the_process_itself() -> None:
    final = stages()[-1]
    assert final.only("STOPSIGNAL").text == "SIGTERM"
    assert not final.all("ENTRYPOINT")
    assert final.only("CMD").words() == ["python", "-m", "pointsman_service", "api"]


def test_health_check_is_the_judge_of_the_pulse() -> None:
    final = stages()[-1]
    form, _, words = final.only("HEALTHCHECK").text.partition(" ")
    assert (form, words) == ("CMD", '["python", "-m", "pointsman_contract.pulse"]')
    assert final.environment()["POINTSMAN_PULSE_FILE"].startswith("/tmp/")


def test_every_variable_of_the_image_is_a_setting_or_pythons() -> None:
    settings = {f"POINTSMAN_{name.upper()}" for name in ServiceSettings.model_fields | WorkerSettings.model_fields}
    assert set(stages()[-1].environment()) <= settings | PYTHONS_OWN


def test_final_stage_takes_nothing_from_the_checkout() -> None:
    for copy in stages()[-1].all("COPY"):
        assert copy.flags == ("--from=build",)


@pytest.mark.parametrize("part", PARTS)
def test_everything_copied_exists_and_reaches_the_builder(part: str) -> None:
    for copy in stages(PART=part)[0].all("COPY"):
        source = copy.text.split()[0]
        assert (ROOT / source).exists()
        assert reaches_the_builder(PurePosixPath(source))


def test_nothing_else_reaches_the_builder() -> None:
    copied = {copy.text.split()[0] for part in PARTS for copy in stages(PART=part)[0].all("COPY")}
    reaching = {path.name for path in ROOT.iterdir() if reaches_the_builder(PurePosixPath(path.name))}
    assert reaching == copied


@pytest.mark.parametrize(
    ("part", "left"),
    [
        ("runtime", {"alembic.ini", "client", "contract", "migrations", "service", "workers"}),
        ("service", {"alembic.ini", "client", "contract", "migrations", "service"}),
        ("workers", {"client", "contract", "workers"}),
    ],
)
def test_an_image_of_one_part_leaves_the_other_out(part: str, left: set[str], tmp_path: Path) -> None:
    app = tmp_path / "app"
    for copy in stages()[0].all("COPY"):
        source, target = copy.text.split()
        if target.startswith("/app"):
            (app / source).mkdir(parents=True)
    (chosen,) = [run.text for run in stages()[0].all("RUN") if "case" in run.text]
    subprocess.run(
        ["sh", "-ec", chosen.replace("/app", str(app))], env={"PART": part, "PATH": "/usr/bin:/bin"}, check=True
    )
    assert {path.name for path in app.iterdir()} == left


def test_the_default_image_is_every_role() -> None:
    assert stages()[0].only("ARG").variables() == {"PART": "runtime"}


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", ".venv/bin/python", "tests/conftest.py", "service/pointsman_service/embedded/up.py",
     "service/pointsman_service/store/__pycache__/models.cpython-313.pyc", "requirements.lock", "uv.lock"],
)  # fmt: skip
def test_what_a_container_does_not_need_stays_here(path: str) -> None:
    assert not reaches_the_builder(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [
        "contract/pointsman_contract/lua/gate.lua",
        "service/pointsman_service/api/documentation/static/swagger-ui/swagger-ui.css",
        "workers/pointsman/app.py",
    ],
)
def test_what_a_container_needs_goes_along(path: str) -> None:
    assert (ROOT / path).is_file()
    assert reaches_the_builder(PurePosixPath(path))
