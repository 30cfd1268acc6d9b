import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pointsman_contract.nodes import NUMBERS, node_name, pool_of
from pointsman_contract.queues import DEFAULT_TOPOLOGY, PoolSpec, QueueSpec, Topology, compact_pools, list_key, step_of


@pytest.mark.parametrize(
    ("priority", "queue"),
    [
        (10, "critical"),
        (9, "high_priority"),
        (8, "high_priority"),
        (7, "reports"),
        (6, "reports"),
        (5, "maintenance"),
        (3, "maintenance"),
        (2, "maintenance"),
        (0, "maintenance"),
    ],
)
def test_a_priority_leads_to_the_highest_open_queue_not_above_it(priority: int, queue: str) -> None:
    assert DEFAULT_TOPOLOGY.by_priority(priority).name == queue


@given(st.integers(0, 10))
def test_a_bare_priority_never_leads_to_a_dedicated_queue(priority: int) -> None:
    assert DEFAULT_TOPOLOGY.by_priority(priority).accepts_any


@pytest.mark.parametrize(("priority", "step"), [(10, 0), (9, 1), (8, 2), (3, 7), (1, 9), (0, 9)])
def test_the_most_urgent_priority_is_the_first_step(priority: int, step: int) -> None:
    assert step_of(priority) == step


def test_lists_are_named_as_kombu_names_them() -> None:
    assert list_key("email", 0) == "email"
    assert list_key("email", 3) == "email\x06\x163"


def test_eight_processes_serve_six_queues_by_default() -> None:
    assert sum(pool.processes for pool in DEFAULT_TOPOLOGY.pools) == 8
    assert {queue for pool in DEFAULT_TOPOLOGY.pools for queue in pool.queues} == {
        queue.name for queue in DEFAULT_TOPOLOGY.queues
    }
    assert DEFAULT_TOPOLOGY.processes("critical") == 4


def test_one_compact_pool_serves_every_queue_most_urgent_first() -> None:
    (pool,) = compact_pools(DEFAULT_TOPOLOGY.queues)
    assert pool.queues == ("critical", "high_priority", "email", "reports", "external_api", "maintenance")


def test_a_pool_of_an_unknown_queue_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown queues: b"):
        Topology(
            queues=(QueueSpec(name="a", priority=1, sla_seconds=1),),
            pools=(PoolSpec(name="p", queues=("a", "b"), processes=1),),
            fallback="a",
        )


def test_a_fallback_that_is_no_queue_is_refused() -> None:
    with pytest.raises(ValidationError, match="fallback"):
        Topology(queues=(QueueSpec(name="a", priority=1, sla_seconds=1),), pools=())


@pytest.mark.parametrize("name", ["imports.eu", "imports-eu", "a", "team_2.imports-eu.v1", "a" * 63, "reports-2026"])
def test_everyday_names_of_queues_are_taken(name: str) -> None:
    assert QueueSpec(name=name, priority=1, sla_seconds=1).name == name


@pytest.mark.parametrize("name", [
    "", "Imports", "imports eu", "imports/eu", ".eu", "imports.",
    "a..b", "a.-b", "-a", "2a", "a,b", "ä", "a\n", "a" * 64,
    "unacked", "unacked_index", "unacked_mutex", "celery.pidbox", "celeryev.1", "celery-task-meta-1",
])  # fmt: skip
def test_names_that_nothing_could_be_called_or_that_celery_needs_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        QueueSpec(name=name, priority=1, sla_seconds=1)


def test_pool_may_be_called_like_a_queue_but_not_like_its_own_second_node() -> None:
    for name in ("imports.eu", "imports-eu", "imports-2eu"):
        pool = PoolSpec(name=name, queues=("a",), processes=1)
        assert [pool_of(node_name(pool.name, number, "h")) for number in NUMBERS] == [name, name]
    with pytest.raises(ValidationError, match="must not end in a hyphen and a number"):
        PoolSpec(name="imports-2", queues=("a",), processes=1)
