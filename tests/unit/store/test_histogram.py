import math
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pointsman_service.store.metrics.histogram import bucket_of, merge, percentile, up_to, value_of

seconds = st.floats(min_value=1e-6, max_value=1e6)


@given(seconds)
def test_a_bucket_stands_for_its_values_within_five_percent(value: float) -> None:
    assert abs(value_of(bucket_of(value)) - value) <= 0.05 * value


@given(st.lists(seconds, min_size=1, max_size=50), st.sampled_from([0.0, 0.5, 0.55, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_five_percent_of_the_one_at_its_nearest_rank(
    values: list[float], fraction: float
) -> None:
    rank = math.ceil(Fraction(str(fraction)) * len(values))
    true = sorted(values)[max(rank, 1) - 1]
    found = percentile(Counter(bucket_of(value) for value in values), fraction)
    assert found is not None
    assert abs(found - true) <= 0.051 * true


def test_the_high_percentiles_of_two_are_the_longer_and_the_middle_is_the_shorter() -> None:
    two = Counter(map(bucket_of, (0.05, 2.0)))
    found = [percentile(two, fraction) for fraction in (0.5, 0.95, 0.99)]
    assert found == [value_of(bucket_of(0.05)), value_of(bucket_of(2.0)), value_of(bucket_of(2.0))]


def test_no_observations_have_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_a_duration_of_zero_counts_as_the_shortest() -> None:
    assert bucket_of(0.0) == bucket_of(1e-6)


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 9))), st.lists(st.tuples(st.integers(), st.just(1))))
def test_merging_adds_up(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    assert sum(merge(left, right).values()) == sum(count for _, count in left + right)


@given(st.lists(seconds, max_size=50))
def test_a_count_up_to_an_edge_is_true_within_five_percent_of_it(values: list[float]) -> None:
    edges = [0.005, 1.0, 60.0, 3600.0]
    found = up_to(Counter(bucket_of(value) for value in values), edges)
    assert found == sorted(found)
    for edge, count in zip(edges, found, strict=True):
        assert sum(value <= edge * 0.95 for value in values) <= count <= sum(value <= edge * 1.06 for value in values)
