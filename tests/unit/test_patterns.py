"""What regular expressions must not use: Python 3.11.0 to 3.11.4 match it wrongly, and those are supported."""

import re
from pathlib import Path

import pytest

from tests.stand.environment import ROOT

# Of single characters possessive quantifiers are right everywhere. CPython issue 106052 is about those of groups.
_WRONG = re.compile(r"\)(?:[*+?]|\{+\d*,?\d*\}+)\+|\(\?>")
_SOURCES = [
    path for folder in ("contract", "service", "workers") for path in sorted((ROOT / folder).glob("pointsman*/**/*.py"))
]


@pytest.mark.parametrize("wrong", [r"(a|b)*+", r"(?:a|b)++", r"(a)?+", r"(a){2,}+", r"(a){{1,10}}+", r"(?>a|b)"])
def test_what_is_wrong_is_found(wrong: str) -> None:
    assert _WRONG.search(wrong)
    assert not _WRONG.search(r"[^']*+(?:\\.[^']*+)*\d++")


def test_no_pattern_has_a_possessive_group() -> None:
    assert len(_SOURCES) > 400
    assert [str(path) for path in _SOURCES if _found(path)] == []


def _found(path: Path) -> bool:
    return _WRONG.search(path.read_text(encoding="utf-8")) is not None
