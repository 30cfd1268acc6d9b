from itertools import pairwise

from pointsman_contract.states import LEGAL_MOVES, PLACES, TERMINAL, UNFINISHED, Place, TaskState, may_move


def test_every_state_has_its_moves_and_no_row_leaves_a_terminal_one() -> None:
    assert set(LEGAL_MOVES) == set(TaskState)
    assert all(not LEGAL_MOVES[state] for state in TERMINAL)
    assert all(LEGAL_MOVES[state] & TERMINAL for state in UNFINISHED), "every task can end"


def test_a_task_moves_along_the_main_line() -> None:
    line = [TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RUNNING, TaskState.RETRYING, TaskState.QUEUED]
    assert all(may_move(old, new) for old, new in pairwise(line))
    assert not may_move(TaskState.SUCCEEDED, TaskState.QUEUED)


def test_every_unfinished_state_has_a_place() -> None:
    assert set(PLACES) == set(Place)
    assert set().union(*PLACES.values()) == UNFINISHED
