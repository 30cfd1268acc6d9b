import importlib
import pkgutil
from types import ModuleType

import pytest

import pointsman
import pointsman_service
from pointsman.errors import WorkerError
from pointsman_service.errors import OutcomeUnknown, PointsmanError, ServiceError, UnknownTask


def test_the_first_paragraph_of_the_docstring_is_the_detail_in_one_line() -> None:
    detail = OutcomeUnknown(task_id="x").detail
    assert detail.startswith("The connection broke during the commit")
    assert detail.endswith("with an Idempotency-Key.")
    assert "  " not in detail
    assert "\n" not in detail


def test_a_detail_of_its_own_takes_its_place() -> None:
    assert UnknownTask("gone").detail == "gone"


@pytest.mark.parametrize("kind", PointsmanError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_code_and_a_title_of_its_own(kind: type[PointsmanError]) -> None:
    assert kind.status != PointsmanError.status
    assert kind.code != PointsmanError.code
    assert kind.title != PointsmanError.title


@pytest.mark.parametrize(("package", "root"), [(pointsman_service, ServiceError), (pointsman, WorkerError)])
def test_every_error_of_a_package_has_its_one_root(package: ModuleType, root: type[Exception]) -> None:
    prefix = f"{package.__name__}."
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(package.__path__, prefix)
        # Those run something; the tasks that are shipped raise what they like.
        if not found.name.endswith(".__main__") and not found.name.startswith("pointsman.shipped.tasks")
    ]
    errors = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and f"{kind.__module__}.".startswith(prefix)
    }
    errors = {kind for kind in errors if not kind.__module__.startswith("pointsman.shipped.tasks")}
    assert len(errors) > 10
    assert [kind for kind in errors if not issubclass(kind, root)] == []
