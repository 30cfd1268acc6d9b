from datetime import UTC, datetime

from pointsman_service.fleet.serving import ServedTypes
from pointsman_service.store.workers.serving import LivingNode

THEN = datetime(2026, 11, 28, tzinfo=UTC)


def node(name: str, *queues: str, published: bool = True, joining: bool = False) -> LivingNode:
    return LivingNode(name, f"{name}@h", None if joining else queues, THEN if published else None)


def test_type_is_unserved_where_every_node_of_the_queue_has_published_others() -> None:
    types = ServedTypes([node("a", "email"), node("b", "email", "reports")], {"a": frozenset("x"), "b": frozenset("y")})
    assert [types.is_unserved("email", name) for name in "xyz"] == [False, False, True]
    assert [types.is_unserved("reports", name) for name in "xyz"] == [True, False, True]
    assert types.nodes_of("email") == ["a@h", "b@h"]
    assert (types.knowing("email", "y"), types.knowing("email", "z"), types.knowing("reports", "x")) == (
        ["b@h"],
        [],
        [],
    )


def test_node_that_published_nothing_serves_nothing() -> None:
    assert ServedTypes([node("a", "email")], {}).is_unserved("email", "x")


def test_what_is_not_known_says_nothing() -> None:
    assert not ServedTypes().is_unserved("email", "x"), "nobody is known to live"
    nodes = [node("a", "email"), node("b", "email", published=False)]
    assert not ServedTypes(nodes, {"a": frozenset("y")}).is_unserved("email", "x"), "b has not said yet what it knows"
    assert not ServedTypes([node("a", "email")], {"a": frozenset("y")}).is_unserved("reports", "x"), "nobody is there"


def test_type_of_a_node_that_has_just_come_may_be_known_anywhere() -> None:
    nodes = [node("a", "email"), node("new", joining=True)]
    types = ServedTypes(nodes, {"a": frozenset("x"), "new": frozenset("z")})
    assert not types.is_unserved("email", "z")
    assert types.is_unserved("email", "y")
