"""Wheels in empty environments, beside a project that has packages of the names we once had."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.wheels.environment import Environment, IndexAway, build_wheels, install
from tests.needs import missing

LETTERS = """
import contract, migrations, service
from pointsman import ExternalAPITask, task

@task
def greet(name: str) -> list[str]:
    return [service.GREETING, name, contract.MARK, migrations.MARK]

@task(base=ExternalAPITask, bind=True, max_retries=0)
def ask(self) -> None:
    self.http.call("GET", "http://127.0.0.1:9/")
"""


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose top-level packages are called ``service``, ``workers``, ``contract`` and ``migrations``."""
    home = tmp_path_factory.mktemp("project")
    for name, text in {
        "service": 'GREETING = "Dear"',
        "contract": 'MARK = ","',
        "migrations": 'MARK = "!"',
        "workers": "",
    }.items():
        (home / name).mkdir()
        (home / name / "__init__.py").write_text(text)
    (home / "workers" / "letters.py").write_text(LETTERS)
    return home


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel of every distribution."""
    directory = tmp_path_factory.mktemp("wheels")
    build_wheels(directory)
    return directory


@pytest.fixture(scope="session")
def only(wheels: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Makes an environment with one wheel alone; one for each wheel and its extras.

    Where no package index can be reached the test is skipped; in CI it fails.
    """
    directory = tmp_path_factory.mktemp("environments")
    made: dict[str, Environment] = {}
    away: list[IndexAway] = []

    def make(wheel: str) -> Environment:
        if wheel not in made and not away:
            try:
                made[wheel] = install(wheel, wheels, directory, project)
            except IndexAway as error:
                away.append(error)
        if away:
            missing(f"needs a package index, which cannot be reached: {away[0]}")
        return made[wheel]

    return make
