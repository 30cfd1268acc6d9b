"""Queues and nodes as the tests of predictions know them."""

from collections.abc import Mapping

from pointsman_service.observe.prediction.flow import Line, Load, Node, Work, lines


def tasks(count: float, run_seconds: float) -> Work:
    """So many that run for so long, give or take nothing."""
    return Work(count, count * run_seconds, count * run_seconds**2)


def line(
    ahead: Mapping[int, Work], processes: int, busy: int, arriving: Mapping[int, Work] | None = None, left: float = 0.5
) -> Line:
    """One queue before one node, of whose processes ``busy`` run for ``left`` seconds more."""
    node = Node(("reports",), processes, [left] * busy)
    return lines([node], {"reports": Load(ahead, arriving or {})})["reports"]
