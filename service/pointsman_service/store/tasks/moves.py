"""The legal moves of ``pointsman_contract.states`` as conditions of SQL, so that no statement makes another."""

from pointsman_contract.states import LEGAL_MOVES, UNFINISHED, TaskState


def may_become(new: TaskState, row: str = "t") -> str:
    """SQL: whether a row of ``task_live`` may become ``new``, or is that already."""
    never = sorted(old for old in UNFINISHED if old is not new and new not in LEGAL_MOVES[old])
    listed = ", ".join(f"'{state}'" for state in never)
    return f"{row}.state NOT IN ({listed})" if never else "true"
