"""How long may an attempt run? The control plane says so in the row and the message, from what the worker published,
and the worker acts on that message. One table says both limits.
"""

import json
from typing import Any, NamedTuple

import pytest

from pointsman import EmailTask
from pointsman.app import PointsmanCelery, configuration
from pointsman.parent.catalogue import specify
from pointsman.task_type.retrying import rules_of
from pointsman.task_type.time_limits import limits_of
from pointsman_service.broker import Envelope, encode

UNSAID: dict[str, Any] = {}
SHORT = {"time_limit": 60, "soft_time_limit": 50}


class Case(NamedTuple):
    """A task type, and the ``timeout_seconds`` of a submission."""

    task: dict[str, Any]
    asked: float | None
    hard: float
    soft: float | None

    def __str__(self) -> str:
        return f"{self.task} asked {self.asked}"


CASES = [
    Case(UNSAID, None, 300, None),
    Case(UNSAID, 3, 3, None),
    Case({"time_limit": 60}, None, 60, None),
    Case({"time_limit": 60}, 600, 600, None),
    Case(SHORT, None, 60, 50),
    Case(SHORT, 600, 600, 590),
    Case(SHORT, 30, 30, 25),
    Case(SHORT, 3, 3, 2.5),
    Case({"base": EmailTask}, None, 60, 50),
    Case({"base": EmailTask}, 3, 3, 2.5),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_control_plane_and_worker_limit_an_attempt_as_the_table_says(case: Case) -> None:
    app = PointsmanCelery("of_the_test", task_cls="pointsman.base:ManagedTask", set_as_current=False)
    app.add_defaults(configuration)

    @app.task(name="unit.limited", ignore_result=True, shared=False, **case.task)
    def limited() -> None: ...

    task: Any = app.tasks["unit.limited"]
    spec = specify(task, rules_of(task))
    told = spec.time_limit_seconds if case.asked is None else case.asked
    envelope = Envelope("task", spec.name, "maintenance", 3, "[]", "{}", told, 1, 0, 1, None, None)
    head, tail = encode(envelope, 1)
    asked = json.loads(head + "1" + tail)["headers"]["timelimit"]
    assert limits_of(task, asked) == (case.hard, case.soft)
    assert told == case.hard
    app.close()
