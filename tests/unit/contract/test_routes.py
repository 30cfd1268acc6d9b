from typing import Any

import pytest
from celery.app.routes import MapRoute
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pointsman_contract.routes import TaskRoutes


def routes(given: object) -> TaskRoutes:
    return TaskRoutes.model_validate(given)


def queue_of(given: object, task_type: str) -> str | None:
    found = routes(given).find(task_type)
    return None if found is None else found[1].queue


def test_queue_alone_is_short_for_a_route() -> None:
    assert routes({"a": "email"}) == routes({"a": {"queue": "email"}})


def test_exact_name_wins_over_an_earlier_pattern() -> None:
    assert queue_of({"feeds.*": "reports", "feeds.import": "email"}, "feeds.import") == "email"


def test_of_the_patterns_the_first_one_written_wins() -> None:
    assert queue_of({"feeds.im*": "email", "feeds.*": "reports"}, "feeds.import") == "email"
    assert queue_of({"feeds.*": "reports", "feeds.im*": "email"}, "feeds.import") == "reports"


def test_route_found_by_a_pattern_names_the_pattern() -> None:
    found = routes({"feeds.*": {"queue": "reports", "priority": 2}}).find("feeds.import")
    assert found is not None
    assert (found[0], found[1].priority) == ("feeds.*", 2)


def test_task_type_without_a_route_has_none() -> None:
    assert routes({"feeds.*": "reports", "a": "email"}).find("other") is None


def test_list_of_pairs_is_taken_as_celery_takes_it() -> None:
    assert queue_of([("feeds.*", {"queue": "reports"}), ["a", "email"]], "feeds.x") == "reports"


@pytest.mark.parametrize("wrong", [["a"], [("a", "b", "c")], [({}, "email")], ({"a": "email"},), "module.route_for"])
def test_other_shapes_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        routes(wrong)


def test_router_function_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValidationError, match="a router function cannot be honoured: list the task types"):
        routes(lambda name, *_: {"queue": "email"})


@pytest.mark.parametrize("key", ["exchange", "routing_key", "delivery_mode", "expires"])
def test_key_that_cannot_be_honoured_is_refused_by_name(key: str) -> None:
    with pytest.raises(ValidationError, match=f"{key} cannot be honoured: a route has a queue and perhaps a priority"):
        routes({"a": {"queue": "email", key: "x"}})


@pytest.mark.parametrize("priority", [-1, 11, 2.5, "high"])
def test_priority_off_the_scale_is_refused(priority: object) -> None:
    with pytest.raises(ValidationError):
        routes({"a": {"queue": "email", "priority": priority}})


def test_route_without_a_queue_is_refused() -> None:
    with pytest.raises(ValidationError, match="queue"):
        routes({"a": {"priority": 5}})


_NAME = st.text("ab.*?[x]!-", min_size=1, max_size=6)


@given(table=st.dictionaries(_NAME, st.sampled_from(["q1", "q2", "q3"]), max_size=5), task_type=_NAME)
def test_every_task_type_goes_where_celery_would_send_it(table: dict[str, str], task_type: str) -> None:
    celerys: Any = MapRoute(table)(task_type)
    assert queue_of(table, task_type) == (None if celerys is None else celerys["queue"])


def test_celery_gets_them_as_it_has_them() -> None:
    given_ = {"a": "email", "feeds.*": {"queue": "reports", "priority": 2}}
    assert routes(given_).for_celery() == {"a": {"queue": "email"}, "feeds.*": {"queue": "reports", "priority": 2}}
