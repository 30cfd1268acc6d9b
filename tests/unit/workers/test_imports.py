"""What is loaded for what: a start costs time, and the scripts start many processes."""

import subprocess
import sys

import pytest


def _loaded(code: str) -> set[str]:
    """The top-level packages that are loaded after ``code`` ran in a new process."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(answer.stdout.splitlines()[-1].split())


def test_looking_at_workers_loads_no_celery() -> None:
    assert not _loaded("import pointsman.__main__") & {"celery", "kombu", "billiard"}


def test_a_node_starts_without_the_client_of_the_tasks_that_ask_the_control_plane() -> None:
    loaded = _loaded("from pointsman import celery; celery.loader.import_default_modules()")
    assert {"celery", "pointsman_client"} <= loaded
    assert not loaded & {"httpx2", "httpcore2"}


def test_help_config_and_routes_load_no_framework_and_no_database_driver() -> None:
    modules = ("__main__", "console.config", "console.routes", "admit.routing")
    code = "import " + ", ".join(f"pointsman_service.{module}" for module in modules)
    assert not _loaded(code) & {"fastapi", "uvicorn", "sqlalchemy", "alembic", "redis", "structlog", "httpx"}


@pytest.mark.parametrize("name", ["PermanentError", "EmailTask"])
def test_any_name_of_the_library_makes_its_application_the_current_one(name: str) -> None:
    code = f"from pointsman import {name}; from celery import current_app; assert current_app.main == 'pointsman'"
    assert "celery" in _loaded(code)


def test_name_that_the_library_does_not_have_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from pointsman import nothing")
