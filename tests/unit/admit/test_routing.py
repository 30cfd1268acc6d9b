import pytest

from contract.catalogue import TaskTypeSpec
from service.admit.routing import route
from service.errors import UnknownQueue
from service.settings import RouteSpec, Settings


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
    routes = {"f": RouteSpec(queue="external_api")}
    assert routed(spec("email"), None, None, task_routes=routes) == ("external_api", 5)
    assert routed(spec("email"), "reports", None, task_routes=routes) == ("reports", 6)


def test_an_explicit_queue_that_does_not_exist_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownQueue, match="critical, high_priority, email") as raised:
        routed(spec(), "nowhere", None)
    assert raised.value.errors[0]["pointer"] == "/queue"


def test_a_route_to_no_queue_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="not a queue"):
        Settings(task_routes={"f": RouteSpec(queue="nowhere")})
