"""The decision shows what the simulation says."""

from tests.simulation.__main__ import SECONDS, table
from tests.stand.environment import ROOT

PAGE = ROOT / "docs" / "decisions" / "0012-task-types-are-judged-by-tasks.md"


def test_the_table_of_the_decision_is_what_the_simulation_says() -> None:
    assert "\n".join(table(SECONDS, 1)) in PAGE.read_text(encoding="utf-8"), "python -m tests.simulation writes it anew"
