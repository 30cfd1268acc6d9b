"""Dead letters as rows, and as numbers that the rows add up to: whoever makes or takes one writes both."""

LETTER = "task_id, task_type, error_type, queue, failed_at"
"""The columns of ``dead_letter``."""
OF_ALL_TIME = "-infinity"
"""The ``hour`` of a number of all hours together."""


def letters_of(task: str) -> str:
    """SQL: the dead letter of a row of ``task``, of that name in the statement."""
    return f"{task}.id, {task}.task_type, coalesce({task}.error_type, ''), {task}.queue, {task}.finished_at"


def counted(rows: str, *, taken: bool = False) -> str:
    """SQL: the statement that adds the dead letters of the part ``rows`` to the numbers, or takes them from these."""
    return (
        "INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks)"
        f" SELECT task_type, error_type, queue, date_trunc('hour', failed_at, 'UTC'), {'-' if taken else ''}count(*)"
        f" FROM {rows} GROUP BY task_type, error_type, queue, date_trunc('hour', failed_at, 'UTC')"
    )
