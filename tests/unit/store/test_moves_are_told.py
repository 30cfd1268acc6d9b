"""Whoever listens to tasks hears of each move: no statement that makes one forgets to tell."""

import re

from tests.statements import reference

BY_THE_RECORDER = {
    ("recording", "_BEGIN"),
    ("recording", "_RETRY"),
    ("recording", "_HOLD"),
    ("recording", "_BLOCK"),
    ("rescuing", "_STOP"),
}
"""The recorder tells of all tasks of a batch at once."""
_MOVES = re.compile(r"UPDATE task_live( AS)?( t)?\s+SET(?:(?!\sFROM\s|\sWHERE\s|RETURNING).)*\bstate\s*=", re.DOTALL)
_DOORS = re.compile(r"INSERT INTO task_live|DELETE FROM task_live")


def _name(statement: object) -> tuple[str, str]:
    return statement.module.__name__.rpartition(".")[2], statement.name  # type: ignore[attr-defined]


def test_each_statement_that_moves_a_task_tells_of_it() -> None:
    moving = [one for one in reference.statements() if _MOVES.search(one.sql) or _DOORS.search(one.sql)]
    silent = {_name(one) for one in moving if "INSERT INTO live_change" not in one.sql}
    assert len(moving) > len(BY_THE_RECORDER) + 10
    assert silent == BY_THE_RECORDER
