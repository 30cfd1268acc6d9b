from typing import Any

import pytest

from pointsman.console.daemons import Daemon, State, beat_of, state_of
from pointsman.console.status import DOWN, UNKNOWN, exit_code, span, table
from pointsman_contract.events import Beat

NOW = 1_000_000.0
QUEUES = {"email": ("email",), "fast": ("critical", "maintenance")}
ALIVE = Daemon("email", 7, True, NOW - 5)
GONE = Daemon("email", 7, False, NOW - 5)
NONE = Daemon("email", None, False)


def beat(**changes: Any) -> Beat:
    made: Beat = {
        "name": "email@h", "owner": "email@h#1", "pool": "email", "queues": ["email"], "processes": 2, "pid": 7,
        "host": "h", "started_at": NOW - 100, "contract": 1, "counter": 9, "consuming": 9, "epoch": 1, "running": [],
        "at": NOW - 1.5, "stopping": False,
    }  # fmt: skip
    return {**made, **changes}  # type: ignore[typeddict-item]  # the test names the keys


@pytest.mark.parametrize(
    ("daemon", "beats", "expected"),
    [
        (NONE, [], State.DOWN),
        (GONE, [beat()], State.DOWN),
        (ALIVE, [], State.STARTING),
        (ALIVE, [beat(consuming=0)], State.STARTING),
        (ALIVE, [beat(pid=8)], State.STARTING),
        (ALIVE, [beat()], State.RUNNING),
        (ALIVE, [beat(stopping=True)], State.DRAINING),
        (ALIVE, [beat(ejected=True)], State.EJECTED),
        (ALIVE, [beat(at=NOW - 11)], State.STALE),
        (ALIVE, [beat(at=NOW - 11, stopping=True)], State.STALE),
        (Daemon("email", 7, True, NOW - 61), [], State.STALE),
        (ALIVE, None, State.ALIVE),
        (GONE, None, State.DOWN),
    ],
)
def test_state_follows_from_process_and_beat(daemon: Daemon, beats: list[Beat] | None, expected: State) -> None:
    assert state_of(daemon, beats, NOW) is expected


def test_beat_of_an_earlier_start_with_the_same_pid_does_not_count() -> None:
    old, new = beat(started_at=1.0, owner="old"), beat(started_at=2.0, owner="new")
    assert beat_of(7, [new, old]) == beat_of(7, [old, new]) == new


@pytest.mark.parametrize(
    ("daemons", "beats", "expected"),
    [
        ([ALIVE], [beat()], 0),
        ([ALIVE], [], 0),
        ([NONE], [], DOWN),
        ([GONE], [beat()], DOWN),
        ([ALIVE, Daemon("fast", None, False)], [beat()], DOWN),
        ([ALIVE], [beat(stopping=True)], DOWN),
        ([ALIVE], [beat(at=NOW - 60)], DOWN),
        # A rolling restart: one node drains, its successor runs.
        ([ALIVE, Daemon("email-2", 8, True, NOW)], [beat(stopping=True), beat(pid=8, name="email-2@h")], 0),
        ([ALIVE], None, UNKNOWN),
        ([ALIVE, Daemon("fast", None, False)], None, DOWN),
    ],
)
def test_exit_code_says_whether_every_pool_is_served(
    daemons: list[Daemon], beats: list[Beat] | None, expected: int
) -> None:
    assert exit_code(daemons, beats, NOW) == expected


def test_table_shows_what_the_beat_says() -> None:
    running = [{"task": "t", "attempt": 1, "token": "x"}]
    lines = table([ALIVE, Daemon("fast", None, False)], [beat(running=running)], QUEUES, NOW)
    assert [line.split() for line in lines] == [
        ["pool", "pid", "state", "queues", "uptime", "busy", "last", "beat"],
        ["email", "7", "running", "email", "1", "m", "40", "s", "1/2", "1.5", "s"],
        ["fast", "-", "down", "critical,maintenance", "-", "-", "-"],
    ]


def test_table_without_a_broker_shows_pids_and_question_marks() -> None:
    lines = table([ALIVE, GONE], None, QUEUES, NOW)
    assert [line.split() for line in lines[1:]] == [
        ["email", "7", "alive", "email", "?", "?", "?"],
        ["email", "7", "down", "email", "-", "-", "-"],
    ]


def test_colours_leave_the_columns_aligned() -> None:
    (_, plain), (_, coloured) = (table([ALIVE], [beat()], QUEUES, NOW, coloured=colour) for colour in (False, True))
    assert coloured.replace("\033[32m", "").replace("\033[0m", "") == plain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 m 00 s"), (3725, "1 h 02 m"), (90_000, "1 d 01 h")],
)
def test_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
