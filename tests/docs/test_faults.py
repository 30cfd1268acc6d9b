"""The table of faults: whole, and true."""

import re

from tests.stand.environment import ROOT
from tests.torture.scenario import SCENARIOS
from tests.torture.scenarios import load_all

_ROW = re.compile(r"^\| (\d+) \| .* \| ([^|]+) \|$", re.MULTILINE)
_NAMED = re.compile(r"`([^`]+)`")
SHOWN = {
    int(number): _NAMED.findall(shown) for number, shown in _ROW.findall((ROOT / "docs" / "reliability.md").read_text())
}


def test_every_row_of_faults_is_there_and_shown() -> None:
    assert list(SHOWN) == list(range(1, len(SHOWN) + 1))
    assert len(SHOWN) >= 37
    assert all(SHOWN.values())


def test_what_shows_a_fault_is_there() -> None:
    load_all()
    named = {name for names in SHOWN.values() for name in names}
    assert [name for name in named if "/" in name and not (ROOT / name).is_file()] == []
    assert {name for name in named if "/" not in name} == set(SCENARIOS)
    for name, scenario in SCENARIOS.items():
        assert name in SHOWN[int(scenario.rows)], name
