from collections import Counter

from pointsman_service.broker import QueueDepth
from pointsman_service.dispatch.sharing import Front, LineTurns, Sharing
from pointsman_service.dispatch.turns import HEAD_START
from pointsman_service.store.queues.shares import MOST_CALLERS, MOST_KEYS, Line, Share

A, B, A_42 = Share("a", ""), Share("b", ""), Share("a", "42")


def test_a_queue_of_one_share_takes_no_turns() -> None:
    sharing = Sharing(10.0)
    sharing.seen({"reports": {A}}, 0.0)
    assert sharing.of("reports") is None


def test_a_queue_takes_turns_from_the_second_share_on_until_it_was_alone_for_long() -> None:
    sharing = Sharing(10.0)
    sharing.seen({"reports": {A}}, 0.0)
    sharing.seen({"reports": {A, B}}, 1.0)
    turns = sharing.of("reports")
    assert turns is not None
    assert turns.alone == A
    sharing.seen({"reports": {B}}, 9.0)
    sharing.seen({"reports": {B}}, 18.9)
    assert sharing.of("reports") is turns, "what A had is on the broker"
    sharing.seen({"reports": {B}}, 19.1)
    assert sharing.of("reports") is None


def test_one_share_after_another_takes_turns_with_what_is_on_the_broker() -> None:
    sharing = Sharing(10.0)
    sharing.seen({"reports": {A}, "email": {A}}, 0.0)
    sharing.seen({"reports": {A_42}}, 9.0)
    sharing.seen({"email": {B}}, 11.0)
    assert sharing.of("reports") is not None
    assert sharing.of("email") is None


def test_who_waits_takes_turns_with_whoever_the_broker_is_full_of() -> None:
    sharing = Sharing(10.0)
    for queue in ("reports", "email"):
        sharing.on_broker(queue, A, 0.0)
    sharing.seen({"reports": {B}, "email": {A}}, 0.0)
    turns = sharing.of("reports")
    assert turns is not None
    assert turns.alone == A
    assert sharing.of("email") is None, "its own is there"
    sharing.on_broker("reports", B, 0.2)
    assert sharing.of("reports") is turns
    sharing.seen({"email": {B}}, 9.0)
    assert sharing.of("email") is not None, "what waited after it"
    sharing.on_broker("reports", A_42, 30.0)
    sharing.seen({"reports": {B}}, 30.0)
    later = sharing.of("reports")
    assert later is not None
    assert later.alone == A_42, "nothing waited for long: those are other turns"


def test_who_comes_again_and_again_is_not_early_each_time() -> None:
    sharing = Sharing(10.0)
    fronts = []
    for now in (0.0, 20.0):
        sharing.seen({"reports": {A}}, now)
        sharing.seen({"reports": {A, B}}, now + 1.0)
        turns = sharing.of("reports")
        assert turns is not None
        fronts.append(turns.front)
        sharing.seen({"reports": {A}}, now + 12.0)
        assert sharing.of("reports") is None
    assert fronts[0] is fronts[1]


def test_who_comes_again_and_again_beside_a_heavier_one_gets_its_share_and_one_head_start() -> None:
    sharing, weights = Sharing(10.0), {"heavy": 10.0}
    heavy, light = Share("heavy", ""), Share("light", "")
    sent, waiting = Counter[Share](), 0
    for second in range(280):
        waiting += 20 if second % 14 == 5 else 0
        sharing.seen({"reports": {heavy, light} if waiting else {heavy}}, float(second))
        turns = sharing.of("reports")
        for _ in range(8):
            found: Line = {"heavy": [""], "light": [""]} if waiting else {"heavy": [""]}
            now = Counter([heavy]) if turns is None else took(turns.line(3), found, 1, weights)
            sent += now
            waiting -= now[light]
    assert 8 * 280 / 11 <= sent[light] <= 8 * 280 / 11 + HEAD_START


def test_turns_that_nobody_makes_even_are_over_in_the_end() -> None:
    sharing = Sharing(10.0)
    sharing.seen({"reports": {A}}, 0.0)
    sharing.seen({"reports": {A, B}}, 1.0)
    turns = sharing.of("reports")
    assert turns is not None
    took(turns.line(9), {"a": [""], "b": [""]}, 20)
    took(turns.line(9), {"a": [""]}, 1)
    for second in range(2, 301):
        sharing.seen({"reports": {A}}, float(second))
        assert sharing.of("reports") is turns
    sharing.seen({"reports": {A}}, 302.0)
    assert sharing.of("reports") is None


def took(line: LineTurns, found: Line, tasks: int, weights: dict[str, float] | None = None) -> Counter[Share]:
    line.seen(found)
    turns = line.turns(found, tasks, 0, 500, weights or {})
    for turn in turns:
        line.sent(turn.share, weights or {})
    return Counter(turn.share for turn in turns)


def test_keys_divide_the_share_of_their_caller_and_no_other() -> None:
    found = {"a": [str(number) for number in range(10)], "b": [""]}
    sent = took(LineTurns(None), found, 100)
    assert sent[B] == 50
    assert {sent[Share("a", key)] for key in found["a"]} == {5}


def test_a_caller_has_as_many_turns_as_its_weight_says() -> None:
    found = {"a": [""], "b": [""]}
    line, weights = LineTurns(None), {"b": 3.0}
    took(line, found, 100, weights)
    assert took(line, found, 100, weights) == {A: 25, B: 75}


def test_where_there_is_no_room_only_who_is_behind_sends_and_only_so_much() -> None:
    line, found = LineTurns(A), {"a": ["", "42"], "b": [""]}
    line.seen(found)
    turns = line.turns(found, 0, 12, 500, {})
    assert all(turn.early for turn in turns)
    assert Counter(turn.share for turn in turns) == {B: 12}
    assert line.turns({"a": [""]}, -100, 12, 500, {}) == []
    assert [turn.early for turn in line.turns(found, 3, 1, 500, {})] == [True, False, False]


def test_a_new_key_of_a_caller_is_early_and_the_only_one_it_has_is_not() -> None:
    line = LineTurns(A)
    line.seen({"a": ["", "42"]})
    assert [turn.share for turn in line.turns({"a": ["", "42"]}, 0, 5, 500, {})] == [A_42] * 5
    alone = LineTurns(None)
    alone.seen({"a": ["42"]})
    took(alone, {"a": ["42"]}, int(HEAD_START))
    assert alone.turns({"a": ["42"]}, 0, 5, 500, {}) == []


def test_of_more_than_can_be_looked_at_together_all_have_their_turn() -> None:
    callers = [f"{number:04}" for number in range(2 * MOST_CALLERS + 50)]
    keys = [f"{number:04}" for number in range(3 * MOST_KEYS + 7)]
    line = LineTurns(None)
    sent: Counter[Share] = Counter()
    for _ in range(60):
        # As the store finds them.
        found = {name: [""] for name in callers if name >= line.after}
        found |= {callers[0]: keys} if callers[0] in found else {}
        found = {name: found[name] for name in sorted(found)[:MOST_CALLERS]}
        found = {
            name: [key for key in of if key >= line.keys_after.get(name, "")][:MOST_KEYS] for name, of in found.items()
        }
        sent += took(line, found, 400)
    by_caller = Counter[str]()
    for share, tasks in sent.items():
        by_caller[share.caller] += tasks
    assert by_caller.keys() == set(callers)
    assert max(by_caller.values()) <= min(by_caller.values()) + 2
    of_keys = [sent[Share(callers[0], key)] for key in keys]
    assert max(of_keys) <= min(of_keys) + 2


def test_many_keys_of_one_caller_have_their_turn_page_by_page() -> None:
    keys = [f"{number:04}" for number in range(3 * MOST_KEYS + 7)]
    line = LineTurns(None)
    sent: Counter[Share] = Counter()
    for _ in range(80):
        page = [key for key in keys if key >= line.keys_after.get("a", "")][:MOST_KEYS]
        sent += took(line, {"a": page}, 400)
    assert max(sent.values()) <= min(sent[Share("a", key)] for key in keys) + 2


def test_what_was_put_before_others_is_bounded_by_what_was_fetched() -> None:
    front = Front()
    assert front.room(QueueDepth(50, 1000, 100, True)) == HEAD_START
    front.put += HEAD_START
    assert front.room(QueueDepth(70, 1020, 100, True)) == 0
    assert front.room(QueueDepth(60, 1020, 100, True)) == 5
    assert front.room(QueueDepth(60, 1020, 100, True)) == 5
    assert front.room(QueueDepth(90, 1020, 100, True)) == 5, "plain Celery messages came"
    assert front.room(QueueDepth(60, 1020, 100, True)) == 5, "and went"
    assert front.room(QueueDepth(0, 0, 100, True)) == HEAD_START, "the broker is another one"
