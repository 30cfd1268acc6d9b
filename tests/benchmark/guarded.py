"""Intake and drain with keys, limits and fairness, beside the same without: what it costs to tell callers apart."""

from pointsman_service.access.token import new_token
from tests.benchmark.compare import beside
from tests.benchmark.intake import TASK
from tests.benchmark.report import Report
from tests.benchmark.stack import Stack

_RATE = "100000/1s"
"""More than is ever reached, so that nothing is refused and everything is counted."""


def run(quick: bool) -> Report:
    """Two starts of four rounds of 3 s and 600 tasks a side, or four of six of 3 s and 1,500."""
    variables = {"POINTSMAN_KEYS_REQUIRED": "true", "POINTSMAN_CALLER_RATE": _RATE}

    def guarded() -> Stack:
        return Stack(variables=variables, token=new_token())

    return beside(
        "guarded",
        quick,
        [("guarded", guarded, TASK | {"fairness_key": "tenant-42"}), ("open", Stack, TASK)],
        [f"each call with a key, a limit of {_RATE} and a fairness_key, beside the same with none of them"],
        {"single": 0.95, "batch": 0.95},
    )
