import random
from collections import Counter
from itertools import islice

import pytest

from pointsman_service.dispatch.turns import HEAD_START, Turns

WEIGHTS = {"light": 0.5, "plain": 1.0, "heavy": 3.0}


def send(turns: Turns, waiting: Counter[str], tasks: int, weights: dict[str, float] | None = None) -> list[str]:
    """Send so many tasks of those that wait, one at a time; whose they were, in order."""
    sent: list[str] = []
    for _ in range(min(tasks, waiting.total())):
        names = sorted(+waiting)
        turns.seen(names, all_of_them=True)
        ((name, _early),) = islice(turns.order(names, weights or {}), 1)
        turns.sent(name, (weights or {}).get(name, 1.0))
        waiting[name] -= 1
        sent.append(name)
    return sent


def test_who_brings_ten_need_not_wait_for_a_hundred_thousand() -> None:
    turns, waiting = Turns(), Counter(many=100_000)
    turns.settled("many")
    send(turns, waiting, 50)
    waiting["few"] = 10
    assert send(turns, waiting, 12) == ["few"] * 10 + ["many"] * 2


def test_names_that_wait_take_turns_once_the_head_start_is_used_up() -> None:
    turns, waiting = Turns(), Counter(a=1000, b=1000)
    turns.settled("a")
    assert send(turns, waiting, int(HEAD_START)) == ["b"] * int(HEAD_START)
    assert Counter(send(turns, waiting, 100)) == {"a": 50, "b": 50}


def test_a_head_start_is_not_to_be_had_again_by_coming_and_going() -> None:
    turns, waiting = Turns(), Counter(many=100_000)
    turns.settled("many")
    sent: list[str] = []
    while len(sent) < 2000:
        waiting["sly"] = 7
        sent += send(turns, waiting, 7)
    assert sent.count("sly") <= len(sent) / 2 + HEAD_START


def test_turns_go_by_weight() -> None:
    turns, waiting = Turns(), Counter(dict.fromkeys(WEIGHTS, 100_000))
    sent = Counter(send(turns, waiting, 4500, WEIGHTS))
    assert all(abs(sent[name] - 1000 * weight) <= HEAD_START * weight + 1 for name, weight in WEIGHTS.items())


@pytest.mark.parametrize("seed", range(20))
def test_of_two_that_wait_all_along_neither_is_ahead_by_more_than_a_head_start(seed: int) -> None:
    draw = random.Random(seed)
    turns, waiting = Turns(), Counter(light=100_000, heavy=100_000)
    turns.settled("light")
    since: Counter[str] = Counter()
    for _ in range(60):
        # The others come and go meanwhile, and may be seen only in part.
        waiting["plain"] += draw.randrange(8)
        waiting[f"passer-by {draw.randrange(9)}"] += draw.randrange(3)
        since.update(send(turns, waiting, draw.randrange(40), WEIGHTS))
        served = {name: since[name] / WEIGHTS[name] for name in ("light", "heavy")}
        slack = HEAD_START + 1 / WEIGHTS["light"] + 1 / WEIGHTS["heavy"]
        assert abs(served["light"] - served["heavy"]) <= slack
    assert since["light"] > 0


def test_only_who_comes_anew_is_early() -> None:
    turns = Turns()
    turns.settled("many")
    for _ in range(100):
        turns.sent("many")
    turns.seen(["few", "many"], all_of_them=True)
    order = list(islice(turns.order(["few", "many"], {}), 40))
    assert order[: int(HEAD_START)] == [("few", True)] * int(HEAD_START)
    assert not any(early for _, early in order[int(HEAD_START) :])
    assert abs([name for name, _ in order[int(HEAD_START) :]].count("few") - 10) <= 1


def test_an_order_that_nobody_followed_changes_nothing() -> None:
    turns = Turns()
    turns.seen(["a", "b"], all_of_them=True)
    assert [*islice(turns.order(["a", "b"], {}), 5)] == [*islice(turns.order(["a", "b"], {}), 5)]
