"""Numbers of things, in words for people."""


def counted(number: int, thing: str) -> str:
    """``1 task``, ``2 tasks``. ``thing``: one of them, whose plural ends in s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
