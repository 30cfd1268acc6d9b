import time

import pytest

from pointsman_contract.formats import FORMATS

_BYTES = 20_000
_SECONDS = 2.0
"""Of a busy machine, for one text; what grows with the square of its length takes more than twice as long."""


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_looking_at_a_long_text_takes_time_in_proportion_to_its_length(name: str) -> None:
    for part in ("1", "a", ".", " ", "-", "(", "[", "a.", "a@", "1e", "%"):
        for end in ("x", " "):
            began = time.process_time()
            FORMATS[name](part * (_BYTES // len(part)) + end)
            assert time.process_time() - began < _SECONDS, f"{part!r} again and again, then {end!r}"


@pytest.mark.parametrize("name", ["date-time", "date", "time", "duration"])
@pytest.mark.parametrize("text", ["2030", " 1 ", "-1.5", ".5", "5.", "1e3", "+1E-2", "0x1", "1..2", "1 2", "", "."])
def test_number_is_no_moment_however_it_is_written(name: str, text: str) -> None:
    assert not FORMATS[name](text)
