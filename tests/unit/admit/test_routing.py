import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.routes import TaskRoutes
from pointsman_service.admit.routing import By, decide, route
from pointsman_service.errors import UnknownQueue
from pointsman_service.settings import Settings


def spec(queue: str | None = None, priority: int | None = None) -> TaskTypeSpec:
    return TaskTypeSpec(name="f", time_limit_seconds=1, queue=queue, priority=priority)


def routed(task_type: TaskTypeSpec, queue: str | None, priority: int | None, **settings: object) -> tuple[str, int]:
    found, number = route(Settings.model_validate(settings), task_type, queue, priority)
    return found.name, number


@pytest.mark.parametrize(
    ("type_queue", "type_priority", "queue", "priority", "expected"),
    [
        (None, None, "email", None, ("email", 7)),
        ("reports", None, "email", None, ("email", 7)),
        (None, None, "email", 2, ("email", 2)),
        ("email", None, None, None, ("email", 7)),
        ("email", None, None, 10, ("email", 10)),
        ("email", 4, None, None, ("email", 4)),
        (None, None, None, 10, ("critical", 10)),
        (None, None, None, 9, ("high_priority", 9)),
        (None, None, None, 5, ("maintenance", 5)),
        (None, None, None, 0, ("maintenance", 0)),
        (None, 8, None, None, ("high_priority", 8)),
        (None, None, None, None, ("maintenance", 3)),
        ("a_queue_of_elsewhere", None, None, 10, ("critical", 10)),
    ],
)
def test_the_first_match_wins(
    type_queue: str | None,
    type_priority: int | None,
    queue: str | None,
    priority: int | None,
    expected: tuple[str, int],
) -> None:
    assert routed(spec(type_queue, type_priority), queue, priority) == expected


def test_a_configured_route_overrides_the_queue_of_the_type() -> None:
    routes = {"f": {"queue": "external_api"}}
    assert routed(spec("email"), None, None, task_routes=routes) == ("external_api", 5)
    assert routed(spec("email"), "reports", None, task_routes=routes) == ("reports", 6)


def test_pattern_routes_what_has_no_route_of_its_own() -> None:
    assert routed(spec("email"), None, None, task_routes={"f*": "reports"}) == ("reports", 6)
    assert routed(spec("email"), None, None, task_routes={"f*": "reports", "f": "email"}) == ("email", 7)
    assert routed(spec("email"), None, None, task_routes={"g*": "reports"}) == ("email", 7)


def test_priority_is_the_submissions_then_the_routes_then_the_types_then_the_queues() -> None:
    with_priority = {"f": {"queue": "reports", "priority": 9}}
    assert routed(spec(None, 4), None, 1, task_routes=with_priority) == ("reports", 1)
    assert routed(spec(None, 4), None, None, task_routes=with_priority) == ("reports", 9)
    assert routed(spec(None, 4), None, None, task_routes={"f": "reports"}) == ("reports", 4)
    assert routed(spec(), None, None, task_routes={"f": "reports"}) == ("reports", 6)


def test_priority_of_a_route_holds_also_in_a_queue_the_submission_names() -> None:
    routes = {"f": {"queue": "reports", "priority": 9}}
    assert routed(spec(), "email", None, task_routes=routes) == ("email", 9)


@pytest.mark.parametrize(
    ("task_type", "queue", "priority", "routes", "expected"),
    [
        (spec("email"), "reports", 3, {}, (By.SUBMISSION, By.SUBMISSION, None)),
        (spec("email"), None, None, {"f*": "reports"}, (By.ROUTE, By.QUEUE, "f*")),
        (spec("email"), None, None, {"f": {"queue": "reports", "priority": 1}}, (By.ROUTE, By.ROUTE, "f")),
        (spec("email", 4), None, None, {}, (By.TASK_TYPE, By.TASK_TYPE, None)),
        (spec("of_elsewhere"), None, 9, {}, (By.PRIORITY, By.SUBMISSION, None)),
        (spec(), None, None, {}, (By.FALLBACK, By.QUEUE, None)),
    ],
)
def test_decision_says_what_decided(
    task_type: TaskTypeSpec,
    queue: str | None,
    priority: int | None,
    routes: dict[str, object],
    expected: tuple[By, By, str | None],
) -> None:
    decision = decide(Settings.model_validate({"task_routes": routes}), task_type, queue, priority)
    assert (decision.queue_by, decision.priority_by, decision.route) == expected


def test_an_explicit_queue_that_does_not_exist_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownQueue, match="critical, high_priority, email") as raised:
        routed(spec(), "nowhere", None)
    assert raised.value.errors[0]["pointer"] == "/queue"


def test_a_route_to_no_queue_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="not a queue"):
        Settings(task_routes=TaskRoutes.model_validate({"f": "nowhere"}))
