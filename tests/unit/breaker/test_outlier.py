import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.outlier import (
    OFF,
    Act,
    Counted,
    Decision,
    Member,
    Rule,
    again,
    decide,
    standings,
    stands_out,
)

RULE = Rule()
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FORCED, DISABLED = BreakerState.FORCED_OPEN, BreakerState.DISABLED


def row(worker: str, calls: int, failures: int, task_type: str = "t", bucket: float = 0.0) -> Counted:
    return Counted(worker, task_type, bucket, calls, failures)


def member(name: str, state: BreakerState = CLOSED, pool: str = "p", since: float = 0.0) -> Member:
    return Member(name, name, pool, state, since)


def outliers(*rows: Counted, rule: Rule = RULE) -> set[str]:
    return {worker for worker, found in standings(rows).items() if stands_out(found, rule)}


def settled(
    members: list[Member], window: Iterable[Counted] = (), probation: dict[str, list[Counted]] | None = None
) -> tuple[dict[str, BreakerState], list[Decision]]:
    """Decide until there is nothing left to decide."""
    made: list[Decision] = []
    by_name = {one.name: one for one in members}
    after = {
        Act.EJECT: OPEN,
        Act.EJECT_AGAIN: OPEN,
        Act.LET_BACK: HALF_OPEN,
        Act.ADMIT: CLOSED,
    }
    while True:
        decision = decide(list(by_name.values()), list(window), probation or {}, RULE)
        if decision is None:
            return {name: one.state for name, one in by_name.items()}, made
        made.append(decision)
        assert len(made) <= 2 * len(members), made
        by_name[decision.name] = replace(by_name[decision.name], state=after[decision.act], since=len(made))


def test_worker_whose_calls_all_fail_beside_peers_that_succeed_stands_out() -> None:
    assert outliers(row("bad", 10, 10), row("good", 10, 0)) == {"bad"}


@pytest.mark.parametrize("failures", [0, 3, 10])
def test_what_hits_all_alike_makes_nobody_stand_out(failures: int) -> None:
    assert outliers(*[row(worker, 10, failures) for worker in "abc"]) == set()


def test_worker_that_began_when_the_dependency_died_is_compared_with_its_peers_of_that_time_alone() -> None:
    before = [row("old", 100, 0, bucket=0)]
    after = [row("old", 15, 15, bucket=10), row("new", 15, 15, bucket=10)]
    assert outliers(*before, *after) == set()


def test_failing_task_type_that_only_one_worker_runs_makes_nobody_stand_out() -> None:
    assert outliers(row("a", 50, 50, "broken"), row("b", 50, 0, "fine"), row("a", 5, 0, "fine")) == set()


def test_one_bad_type_among_many_good_ones_is_enough() -> None:
    good = [row(worker, 500, 0, "fine") for worker in "ab"]
    window = [*good, row("a", 12, 12, "pdf"), row("b", 12, 0, "pdf")]
    # The store gives only types that failed somewhere.
    assert outliers(*[one for one in window if one.task_type == "pdf"]) == {"a"}


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ((9, 9), (100, 0)),  # too few calls
        ((100, 100), (4, 0)),  # too few of others
        ((100, 25), (100, 0)),  # too little to matter
        ((12, 7), (12, 3)),  # may be chance
    ],
)
def test_little_evidence_makes_nobody_stand_out(bad: tuple[int, int], good: tuple[int, int]) -> None:
    assert outliers(row("bad", *bad), row("good", *good)) == set()


def test_worker_that_fails_so_fast_that_it_takes_nearly_everything_stands_out() -> None:
    window = [row("bad", 100, 100, bucket=at) for at in range(5)] + [row("good", 1, 0, bucket=at) for at in range(5)]
    assert outliers(*window) == {"bad"}


def test_reason_names_the_figures() -> None:
    decision = decide([member("bad"), member("good")], [row("bad", 12, 12), row("good", 20, 1)], {}, RULE)
    assert decision == Decision(Act.EJECT, "bad", "12 of 12 calls failed; as other workers do, 0.6 would have")


def test_two_bad_ones_do_not_hide_one_another() -> None:
    window = [row("bad1", 40, 40), row("bad2", 40, 36), row("good1", 40, 1), row("good2", 40, 0)]
    states, made = settled([member(name) for name in ("bad1", "bad2", "good1", "good2")], window)
    assert states == {"bad1": OPEN, "bad2": OPEN, "good1": CLOSED, "good2": CLOSED}
    assert [decision.act for decision in made] == [Act.EJECT] * 2


@pytest.mark.parametrize(("size", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_at_most_half_of_a_pool_is_ejected(size: int, most: int) -> None:
    pool = [member(f"bad{n}") for n in range(size)]
    elsewhere = [member(f"good{n}", pool="q") for n in range(8)]
    window = [row(one.name, 30, 30) for one in pool] + [row(one.name, 30, 0) for one in elsewhere]
    states, _ = settled([*pool, *elsewhere], window)
    assert sum(state is OPEN for state in states.values()) == most


def test_ejections_by_hand_count_towards_the_half() -> None:
    window = [row("bad", 30, 30), row("good", 30, 0)]
    states, _ = settled([member("bad"), member("good"), member("by hand", FORCED)], window)
    assert states["bad"] is CLOSED


def test_pool_that_shrank_gets_the_one_ejected_longest_back() -> None:
    pool = [member("a", OPEN, since=5), member("b", OPEN, since=3), member("c")]
    states, made = settled(pool)
    assert [(decision.act, decision.name) for decision in made] == [(Act.LET_BACK, "b")]
    assert states == {"a": OPEN, "b": HALF_OPEN, "c": CLOSED}


def test_last_worker_of_a_pool_that_was_ejected_by_hand_stays_ejected() -> None:
    assert settled([member("a", FORCED)]) == ({"a": FORCED}, [])


def test_disabled_one_is_never_ejected_and_is_a_peer() -> None:
    window = [row("bad", 30, 30), row("good", 30, 0)]
    assert settled([member("bad", DISABLED), member("good")], window)[1] == []
    assert settled([member("bad"), member("good", DISABLED)], window)[0]["bad"] is OPEN


def test_failures_of_an_ejected_worker_do_not_hide_those_of_another() -> None:
    window = [row("gone", 300, 300), row("bad", 30, 30), row("good", 30, 0), row("fine", 30, 0)]
    members = [member("gone", FORCED), member("bad"), member("good"), member("fine")]
    assert settled(members, window)[0]["bad"] is OPEN


def test_few_failures_on_probation_eject_again_and_enough_good_calls_admit() -> None:
    others = [row("good", 10, 0)]
    assert again([row("w", 1, 1), *others], "w", RULE)[1] is None
    assert again([row("w", 2, 2), *others], "w", RULE)[1] is True
    assert again([row("w", 9, 0), *others], "w", RULE)[1] is None
    assert again([row("w", 10, 1), *others], "w", RULE)[1] is False


def test_failures_on_probation_that_its_peers_have_too_are_not_held_against_it() -> None:
    assert again([row("w", 10, 10), row("good", 50, 50, bucket=10)], "w", RULE)[1] is False


def test_failures_on_probation_count_although_nobody_else_is_busy() -> None:
    assert again([row("w", 2, 2)], "w", RULE)[1] is True


def test_probation_ends_in_ejection_only_where_the_pool_can_spare_it() -> None:
    probation = {"w": [row("w", 5, 5)]}
    assert settled([member("w", HALF_OPEN)], probation=probation)[0]["w"] is HALF_OPEN
    states, made = settled([member("w", HALF_OPEN), member("good")], probation=probation)
    assert (states["w"], made[0].act) == (OPEN, Act.EJECT_AGAIN)


def test_switched_off_it_lets_everybody_back_and_ejects_nobody() -> None:
    off = replace(RULE, is_on=False)
    window = [row("bad", 30, 30), row("good", 30, 0)]
    assert decide([member("bad"), member("good")], window, {}, off) is None
    for state in (OPEN, HALF_OPEN):
        decision = decide([member("bad", state), member("good")], window, {}, off)
        assert decision is not None
        assert (decision.act, decision.name) == (Act.ADMIT, "bad")
    assert decide([member("bad", FORCED)], window, {}, off) is None


def test_chance_alone_ejects_nobody() -> None:
    """Workers that are equally good, whatever their load and however the rate moves, in a thousand windows."""
    seed = 20261126
    draw = random.Random(seed)
    for _ in range(1000):
        workers = [f"w{n}" for n in range(draw.randint(2, 6))]
        load = {worker: draw.choice([1, 3, 10, 40]) for worker in workers}
        window = []
        for bucket in range(6):
            for task_type in ("a", "b"):
                rate = draw.choice([0.0, 0.05, 0.5, 0.95, 1.0])
                for worker in workers:
                    calls = draw.randint(0, load[worker])
                    failures = sum(draw.random() < rate for _ in range(calls))
                    window.append(row(worker, calls, failures, task_type, bucket))
        assert outliers(*window) == set(), f"seed {seed}"


ROWS = st.lists(
    st.builds(
        lambda worker, task_type, bucket, calls, share: Counted(worker, task_type, bucket, calls, round(calls * share)),
        st.sampled_from("abcd"),
        st.sampled_from(["t", "u"]),
        st.sampled_from([0.0, 10.0]),
        st.integers(0, 60),
        st.floats(0, 1),
    ),
    max_size=24,
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from(list(BreakerState)), st.sampled_from(["p", "q"]), st.integers(0, 9)),
    min_size=1,
    max_size=8,
).map(lambda given: [Member(f"{n}", "abcd"[n % 4], pool, state, at) for n, (state, pool, at) in enumerate(given)])


@given(ROWS, st.randoms(use_true_random=False))
def test_order_and_division_of_the_rows_do_not_matter(rows: list[Counted], draw: random.Random) -> None:
    parts = []
    for one in rows:
        failed = draw.randint(0, one.failures)
        calls = draw.randint(failed, one.calls - (one.failures - failed))
        parts += [
            one._replace(calls=calls, failures=failed),
            one._replace(calls=one.calls - calls, failures=one.failures - failed),
        ]
    draw.shuffle(parts)
    before, after = standings(rows), standings(parts)
    assert before.keys() == after.keys()
    for worker, found in before.items():
        assert tuple(after[worker]) == pytest.approx(tuple(found))


@given(ROWS)
def test_nobody_stands_out_whose_failures_are_no_more_than_its_peers(rows: list[Counted]) -> None:
    for found in standings(rows).values():
        assert found.failures <= found.calls
        if found.failures <= found.expected:
            assert not stands_out(found, RULE)
            assert found.deviations <= 1e-9 or found.excess <= 0


@given(MEMBERS, ROWS)
def test_decisions_come_to_an_end_and_never_eject_more_than_half_of_a_pool(
    members: list[Member], rows: list[Counted]
) -> None:
    states, made = settled(members, rows)
    ejected = {decision.name for decision in made if decision.act is Act.EJECT}
    for pool in ("p", "q"):
        of_pool = [one.name for one in members if one.pool == pool]
        off = [name for name in of_pool if states[name] in OFF]
        by_hand = sum(states[name] is FORCED for name in of_pool)
        assert len(off) <= max(len(of_pool) // 2, by_hand)
        if ejected & set(of_pool):
            assert len(off) <= len(of_pool) // 2
