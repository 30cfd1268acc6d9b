"""Routes whose name is nearly a task type's, and none's: what they are meant for goes another way, without a word."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches

_NEARLY = 0.88
"""One or two letters are wrong. A route may well stand there before any worker has its task type."""


def misspelt(routes: Collection[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names of ``task_routes``, each with the task type that it is nearly. Patterns say nothing."""
    for route in routes:
        if "*" in route or route in known:
            continue
        found = get_close_matches(route, known, n=1, cutoff=_NEARLY)
        if found and found[0] not in routes:
            yield route, found[0]
