import importlib
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pointsman import celery
from pointsman.parent.task_modules import look_for_tasks


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with its tasks in a module that it does not import."""
    (tmp_path / "mill").mkdir()
    (tmp_path / "mill" / "__init__.py").write_text("")
    (tmp_path / "mill" / "tasks.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mill", raising=False)
    importlib.import_module("mill")
    return "mill"


def app_with(*homes: str) -> SimpleNamespace:
    return SimpleNamespace(tasks={home: SimpleNamespace(__module__=home) for home in homes})


def test_a_package_without_its_tasks_module_is_refused(package: str) -> None:
    with pytest.raises(SystemExit, match=r"names the package mill, which defines no task: name mill\.tasks instead"):
        look_for_tasks(app_with("pointsman.shipped.tasks.jobs", "milliner"), [package])


@pytest.mark.parametrize("home", ["mill", "mill.tasks", "mill.deep.jobs"])
def test_a_package_that_brings_its_tasks_is_taken(package: str, home: str) -> None:
    look_for_tasks(app_with(home), [package])


def test_a_module_without_tasks_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        look_for_tasks(app_with("mill.tasks"), ["json"])
    assert "names json, which defines no task" in caplog.text


@pytest.mark.parametrize("code", ["0", "3", "'usage: program'"])
def test_a_module_that_ends_the_process_is_one_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "program.py").write_text(f"import sys\nsys.exit({code})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(celery.loader, "task_modules", set())
    with pytest.raises(ImportError, match="the module program ends the process that imports it"):
        celery.loader.import_task_module("program")
