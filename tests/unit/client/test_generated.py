import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from pointsman_client import AsyncClient, Client
from pointsman_client.calling.refusing import refused_by
from pointsman_client.problems import BY_STATUS, BY_TYPE
from pointsman_client.sync.operations import BY_OPERATION
from pointsman_service.api.problems.document import problem_of
from pointsman_service.errors import PointsmanError
from tests.stand.environment import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [
    said["operationId"]
    for methods in DOCUMENT["paths"].values()
    for name, said in methods.items()
    if name != "parameters"
]


def test_what_is_generated_of_the_client_is_up_to_date() -> None:
    """When this fails: .venv/bin/python scripts/client_code.py"""
    words = [sys.executable, "scripts/client_code.py", "--check"]
    checked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_its_method_in_both_halves(operation: str) -> None:
    resource, method = BY_OPERATION[operation]
    blocking, waiting = Client("http://h"), AsyncClient("http://h")
    ways = [inspect.signature(getattr(getattr(client, resource), method)) for client in (blocking, waiting)]
    assert list(ways[0].parameters) == list(ways[1].parameters)
    assert not inspect.iscoroutinefunction(getattr(getattr(blocking, resource), method))


def test_no_method_is_of_an_operation_that_is_no_more() -> None:
    assert sorted(BY_OPERATION) == sorted(OPERATIONS)


def _kinds(root: type[PointsmanError]) -> list[type[PointsmanError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]


def test_every_problem_that_the_service_knows_has_its_class_under_that_of_its_status() -> None:
    for kind in _kinds(PointsmanError):
        refused = refused_by(problem_of(kind()), kind.status, None)
        assert type(refused) is BY_TYPE[kind.code]
        assert isinstance(refused, BY_STATUS.get(kind.status, Exception))
    assert len({*BY_TYPE.values()}) == len(BY_TYPE) == len(_kinds(PointsmanError))
