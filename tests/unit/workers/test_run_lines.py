"""Lines of runs on their way to Redis: bounded, numbered, and sent once."""

import json
import threading
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from pointsman.node import run_lines
from pointsman.node.run_lines import Entry, LineSender, RunLines
from pointsman_contract.run_log import ATTEMPT_BYTES, ENTRY_BYTES


class FakeRedis:
    """Takes entries like ``append_lines.lua``."""

    stamp = None

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.answer = ["ok"]
        self.is_away = False

    def scripts(self, name: str, calls: list[Any]) -> list[list[Any]]:
        assert name == "append_lines"
        if self.answer == ["ok"]:
            names = ("task", "attempt", "run", "first", "count", "last", "lines")
            self.entries += [dict(zip(names, tail, strict=False)) for _, _, tail in calls]
        if self.is_away:
            raise RedisConnectionError("away")
        return [self.answer for _ in calls]

    def lines(self, task: str = "a") -> list[Any]:
        return [line for entry in self.entries if entry["task"] == task for line in json.loads(entry["lines"])]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(run_lines, "time", made)
    return made


@pytest.fixture
def redis() -> Any:
    return FakeRedis()


@pytest.fixture
def sender(clock: Clock) -> LineSender:
    return LineSender(lambda: None)


def line(text: Any) -> str:
    return json.dumps([text])


def test_short_run_is_one_entry(sender: LineSender, redis: Any) -> None:
    run = sender.begin("a", 2, "r")
    for number in range(3):
        sender.write(run, line(number))
    sender.send(redis)
    assert redis.entries == []
    sender.end(run)
    sender.send(redis)
    assert redis.entries == [
        {"task": "a", "attempt": 2, "run": "r", "first": 1, "count": 3, "last": 1, "lines": "[[0],[1],[2]]"}
    ]
    assert not sender.is_pending
    sender.send(redis)
    assert len(redis.entries) == 1


def test_lines_arrive_while_their_run_goes_on(sender: LineSender, redis: Any, clock: Clock) -> None:
    run = sender.begin("a", 1, "r")
    sender.write(run, line("one"))
    clock.now += 0.3
    sender.send(redis)
    sender.write(run, line("two"))
    sender.send(redis)
    assert [(entry["first"], entry["last"]) for entry in redis.entries] == [(1, 0), (2, 0)]
    assert not sender.is_pending
    sender.end(run)
    assert sender.is_pending
    sender.send(redis)
    assert redis.entries[-1] | {"lines": "[]"} == redis.entries[-1]
    assert (redis.entries[-1]["first"], redis.entries[-1]["count"], redis.entries[-1]["last"]) == (3, 0, 1)


def test_newest_lines_stay_and_their_numbers_say_how_many_went(sender: LineSender, redis: Any) -> None:
    run = sender.begin("a", 1, "r")
    for _ in range(5000):
        sender.write(run, line("x" * 100))
    assert run.size <= ATTEMPT_BYTES
    sender.end(run)
    sender.send(redis)
    kept = len(redis.lines())
    assert 500 < kept < 700
    assert redis.entries[0]["first"] == 5000 - kept + 1
    assert all(
        after["first"] == before["first"] + before["count"]
        for before, after in zip(redis.entries, redis.entries[1:], strict=False)
    )
    assert [entry["last"] for entry in redis.entries] == [0] * (len(redis.entries) - 1) + [1]


def test_no_entry_is_long_but_for_one_line(sender: LineSender, redis: Any) -> None:
    run = sender.begin("a", 1, "r")
    for text in ("x" * 10_000, "y" * 10_000, "é" * 20_000, "z"):
        sender.write(run, json.dumps([text], ensure_ascii=False))
    sender.end(run)
    sender.send(redis)
    sizes = [len(entry["lines"].encode()) for entry in redis.entries]
    assert [entry["count"] for entry in redis.entries] == [1, 1, 1, 1]
    assert [size > ENTRY_BYTES for size in sizes] == [False, False, True, False]


def test_entry_whose_answer_was_lost_is_sent_again_under_its_name(sender: LineSender, redis: Any, clock: Clock) -> None:
    run = sender.begin("a", 1, "r")
    sender.write(run, line("one"))
    clock.now += 1
    redis.is_away = True
    with pytest.raises(RedisConnectionError):
        sender.send(redis)
    redis.is_away = False
    sender.write(run, line("two"))
    sender.send(redis)
    assert [(entry["first"], entry["lines"]) for entry in redis.entries] == [
        (1, '[["one"]]'),
        (1, '[["one"]]'),
        (2, '[["two"]]'),
    ]


def test_what_redis_does_not_take_waits_and_is_bounded(sender: LineSender, redis: Any, clock: Clock) -> None:
    redis.answer = ["no", "nobody reads them"]
    for number in range(100):
        run = sender.begin(str(number), 1, "r")
        for _ in range(100):
            sender.write(run, line("x" * 600))
        sender.end(run)
        sender.send(redis)
    assert not sender.can_send
    assert redis.entries == []
    redis.answer = ["ok"]
    while sender.is_pending:
        clock.now += 3
        sender.send(redis)
    # Of those that went it is still known how many they were.
    assert [entry["first"] + entry["count"] - 1 for entry in redis.entries if entry["last"]] == [100] * 100
    kept = {number for number in range(100) if redis.lines(str(number))}
    assert 99 in kept
    assert sum(len(entry["lines"]) for entry in redis.entries) < 2 * 256 * 1024


def test_many_runs_that_wait_lose_the_oldest(sender: LineSender, redis: Any) -> None:
    redis.answer = ["no", "memory is short"]
    for number in range(1200):
        run = sender.begin(str(number), 1, "r")
        sender.write(run, line("x"))
        sender.end(run)
    redis.answer = ["ok"]
    sender.send(redis)
    told = [entry["task"] for entry in redis.entries]
    assert len(told) == 1000
    assert told[-1] == "1199"


def test_flood_is_sent_at_a_bounded_pace(sender: LineSender, redis: Any, clock: Clock) -> None:
    run = sender.begin("a", 1, "r")
    clock.now += 1
    for _ in range(20):
        for _ in range(1000):
            sender.write(run, line("x" * 100))
        sender.send(redis)
    burst = sum(len(entry["lines"]) for entry in redis.entries)
    assert burst < 300 * 1024
    for _ in range(20):
        clock.now += 0.5
        for _ in range(1000):
            sender.write(run, line("x" * 100))
        sender.send(redis)
    assert sum(len(entry["lines"]) for entry in redis.entries) - burst < 400 * 1024


def test_process_that_ends_sends_what_it_has(sender: LineSender, redis: Any) -> None:
    for number in range(12):
        run = sender.begin(str(number), 1, "r")
        for _ in range(100):
            sender.write(run, line("x" * 600))
        sender.end(run)
        sender.send(redis)
    assert sender.is_pending
    sender.hurry()
    sender.send(redis)
    assert not sender.is_pending


def test_lines_that_go_while_others_are_taken_leave_a_gap() -> None:
    run = RunLines("a", 1, "r")
    run.write(line(1))
    taken = run.take()
    assert taken is not None
    for number in range(2, 3000):
        run.write(line("x" * 100 + str(number)))
    assert run.take() is taken
    assert not run.accepted()
    following = run.take()
    assert following is not None
    assert following.first > 2


def test_what_two_threads_write_and_take_is_in_order_and_there_once() -> None:
    run, lines = RunLines("a", 1, "r"), 30_000
    found: list[Entry] = []

    def take() -> None:
        while not (found and found[-1].is_last):
            if (entry := run.take()) is not None:
                found.append(entry)
                run.accepted()

    taker = threading.Thread(target=take)
    taker.start()
    for number in range(1, lines + 1):
        run.write(f"[{number}]{' ' * 200}")
    run.has_ended = True
    taker.join()
    told = [number for entry in found for (number,) in json.loads(entry.text)]
    assert told == sorted(set(told))
    assert told[-1] == lines
    assert all(json.loads(entry.text) == [[entry.first + place] for place in range(entry.count)] for entry in found)
    assert run.size == 0
