"""Where does a task go? The control plane decides for a submission, Celery with our router for a plain call. One table
says the queue and the step of its Redis list.
"""

import json
from typing import Any, NamedTuple

import pytest

from pointsman.app import PointsmanCelery, configuration
from pointsman.parent.catalogue import specify
from pointsman.task_type.retrying import rules_of
from pointsman_contract.queues import step_of
from pointsman_service.admit.routing import route
from pointsman_service.settings import Settings

OWN = {"queue": "email", "priority": 2}
"""What a task type says of itself."""


class Case(NamedTuple):
    """A task type, the configured route, and what the caller says."""

    task: dict[str, Any]
    routes: dict[str, Any]
    call: dict[str, Any]
    queue: str
    priority: int
    by_plain_call: str | None = None
    """The queue of a plain call, where it is another: Celery knows no rule that turns a priority into a queue."""

    def __str__(self) -> str:
        return f"{self.task} {self.routes} {self.call}"


CASES = [
    Case({}, {}, {}, "maintenance", 3),
    Case({"queue": "email"}, {}, {}, "email", 7),
    Case(OWN, {}, {}, "email", 2),
    Case(OWN, {}, {"priority": 0}, "email", 0),
    Case(OWN, {}, {"queue": "critical"}, "critical", 2),
    Case(OWN, {}, {"queue": "critical", "priority": 9}, "critical", 9),
    Case({}, {}, {"queue": "critical"}, "critical", 10),
    Case({}, {}, {"priority": 9}, "high_priority", 9, by_plain_call="maintenance"),
    Case({"priority": 6}, {}, {}, "reports", 6, by_plain_call="maintenance"),
    Case({"priority": 1}, {}, {}, "maintenance", 1),
    Case(OWN, {"unit.*": "reports"}, {}, "reports", 2),
    Case({}, {"unit.*": "reports"}, {}, "reports", 6),
    Case(OWN, {"unit.*": {"queue": "reports", "priority": 9}}, {}, "reports", 9),
    Case(OWN, {"unit.*": {"queue": "reports", "priority": 9}}, {"priority": 0}, "reports", 0),
    Case(OWN, {"unit.*": {"queue": "reports", "priority": 9}}, {"queue": "email"}, "email", 9),
    Case(OWN, {"unit.*": "reports", "unit.routed": "critical"}, {}, "critical", 2),
    Case(OWN, {"unit.r*": "reports", "unit.*": "critical"}, {}, "reports", 2),
    Case(OWN, {"other.*": "reports"}, {}, "email", 2),
]


class Sent(Exception):
    """Carries what would have been sent."""

    def __init__(self, queue: str, step: int) -> None:
        self.where = queue, step


@pytest.mark.parametrize("case", CASES, ids=str)
def test_submission_and_plain_call_go_where_the_table_says(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_TASK_ROUTES", json.dumps(case.routes))
    app = PointsmanCelery("of_the_test", task_cls="pointsman.base:ManagedTask", set_as_current=False)
    app.add_defaults(configuration)

    @app.task(name="unit.routed", ignore_result=True, shared=False, **case.task)
    def routed() -> None: ...

    task: Any = app.tasks["unit.routed"]
    spec = specify(task, rules_of(task))
    queue, priority = route(Settings(), spec, case.call.get("queue"), case.call.get("priority"))
    assert (queue.name, priority) == (case.queue, case.priority)

    def send(*_: object, **sent: Any) -> None:
        raise Sent(sent["queue"].name, sent["priority"])

    monkeypatch.setattr(type(app.amqp), "send_task_message", property(lambda _: send))
    with pytest.raises(Sent) as raised:
        task.apply_async(**case.call)
    assert raised.value.where == (case.by_plain_call or case.queue, step_of(case.priority))
    app.close()
