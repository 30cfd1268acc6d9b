import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

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
