import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stand.environment import ROOT
from tests.touched import FARTHEST, Choice, Sources, choose, is_test, module_of, read_sources

TEXTS = {
    "contract/pointsman_contract/states.py": "",
    "contract/pointsman_contract/lua/__init__.py": 'GATE = source("gate")\n',
    "contract/pointsman_contract/lua/gate.lua": "return 1\n",
    "service/pointsman_service/store/tasks.py": "from pointsman_contract import states\n",
    "service/pointsman_service/observe/views.py": "import pointsman_service.store.tasks\n",
    "service/pointsman_service/app.py": "from pointsman_service.observe.views import x\n",
    "tests/conftest.py": "from pointsman_contract.states import x\n",
    "tests/integration/spine.py": "from pointsman_service.store import tasks\n",
    "tests/integration/conftest.py": "from tests.integration.held import x\n",
    "tests/integration/held.py": "",
    "tests/integration/store/test_rows.py": "",
    "tests/integration/record/test_one.py": "from tests.integration.spine import x\n",
    "tests/integration/submit/test_one.py": "",
    "tests/integration/lua/test_gate.py": "from pointsman_contract.lua import GATE\n",
    "tests/integration/deploy/test_up.py": 'UP = ROOT / "scripts" / "up"\n',
    "tests/acceptance/test_life.py": "from tests.integration.spine import x\n",
    "tests/stand/load.py": "",
    "tests/unit/test_words.py": 'WORDS = ROOT / "scripts" / "words"\n',
}


def chosen(*changed: str) -> Choice:
    return choose(Sources({path: text for path, text in TEXTS.items() if path.endswith(".py")}), changed)


def names(*changed: str) -> list[tuple[str, int]]:
    return [(test.path.removeprefix("tests/integration/"), test.distance) for test in chosen(*changed).tests]


def test_tests_of_the_room_come_before_those_that_import_from_afar() -> None:
    assert names("service/pointsman_service/store/tasks.py") == [("store/test_rows.py", 1), ("record/test_one.py", 2)]


def test_what_is_too_far_away_is_not_run() -> None:
    assert ("record/test_one.py", FARTHEST) not in names("contract/pointsman_contract/states.py")


def test_a_script_in_lua_is_near_to_what_names_it() -> None:
    assert names("contract/pointsman_contract/lua/gate.lua") == [("lua/test_gate.py", 1)]


def test_a_file_without_a_suffix_is_found_behind_its_folder() -> None:
    assert names("scripts/up") == [("deploy/test_up.py", 1)]


def test_tests_are_as_near_as_what_surrounds_them() -> None:
    assert {path for path, _ in names("tests/integration/held.py")} == {
        path.removeprefix("tests/integration/")
        for path in TEXTS
        if path.startswith("tests/integration/") and is_test(path)
    }


def test_a_changed_test_is_run_and_an_acceptance_test_last() -> None:
    changed = ("tests/acceptance/test_life.py", "tests/integration/submit/test_one.py")
    assert names(*changed) == [("submit/test_one.py", 0), ("tests/acceptance/test_life.py", FARTHEST + 1)]


@pytest.mark.parametrize(
    "path", ["pyproject.toml", "uv.lock", "service/pointsman_service/nobody.toml", "something.new"]
)
def test_when_nobody_can_tell_it_says_so_and_runs_a_sensible_set(path: str) -> None:
    choice = chosen(path)
    (remark,) = choice.remarks
    assert remark.startswith(f"{path}: nobody can tell what it touches; running tests/integration/submit")
    assert {"tests/integration/submit/test_one.py", "tests/integration/record/test_one.py"} == {
        test.path for test in choice.tests
    }


@pytest.mark.parametrize(
    "path", ["docs/http.md", "README.md", "tests/unit/test_errors.py", "service/pointsman_service/gone.py"]
)
def test_what_no_integration_test_reads_chooses_none(path: str) -> None:
    assert chosen(path) == Choice((), ())


def test_what_only_unit_tests_look_at_is_told() -> None:
    choice = chosen("scripts/words")
    assert choice.tests == ()
    assert choice.remarks == ("scripts/words: only unit tests look at it, and they run anyway",)


def test_what_only_long_tests_use_is_told() -> None:
    choice = chosen("tests/stand/load.py")
    assert choice.tests == ()
    assert choice.remarks == ("tests/stand/load.py: only tests that take long use it, which ./scripts/test runs",)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("contract/pointsman_contract/states.py", "pointsman_contract.states"),
        ("workers/pointsman/__init__.py", "pointsman"),
        ("tests/integration/spine.py", "tests.integration.spine"),
    ],
)
def test_a_file_is_imported_by_its_name(path: str, name: str) -> None:
    assert module_of(path) == name


def test_every_package_of_this_checkout_has_tests_near() -> None:
    """But for those that only unit tests look at."""
    sources = read_sources()
    gate = choose(sources, ["contract/pointsman_contract/lua/gate.lua"])
    assert "tests/integration/lua/test_gate.py" in [test.path for test in gate.tests if test.distance == 1]
    for path in ("service/pointsman_service/record", "service/pointsman_service/submit", "workers/pointsman"):
        assert choose(sources, [f"{path}/__init__.py"]).remarks == (), path


def run_for(seconds: float, directory: Path, body: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_some.py").write_text(body)
    words = ["-m", "pytest", "-q", "-p", "tests.for_a_while", "-p", "no:cacheprovider", "-c", os.devnull]
    return subprocess.run(
        [sys.executable, *words, str(directory)],
        cwd=ROOT,
        env=os.environ | {"POINTSMAN_TESTS_SECONDS": str(seconds)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("seconds", "body", "status", "said"),
    [
        (60, "def test_a(): pass\ndef test_b(): pass\n", 0, "2 passed"),
        (0, "def test_a(): pass\ndef test_b(): pass\n", 0, "the time was over: 1 of 2 tests did not run"),
        (0, "def test_a(): assert False\ndef test_b(): pass\n", 2, "1 failed"),
    ],
)
def test_a_run_that_is_cut_short_is_good_when_nothing_failed(
    tmp_path: Path, seconds: float, body: str, status: int, said: str
) -> None:
    done = run_for(seconds, tmp_path, body)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout


def test_help_says_what_is_run() -> None:
    done = subprocess.run([ROOT / "scripts" / "check", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ./scripts/check")
    assert subprocess.run([ROOT / "scripts" / "check", "--nothing"], capture_output=True, check=False).returncode == 2
