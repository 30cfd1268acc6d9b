import pytest

from pointsman_contract.log_text import in_one_line, one_entry, printable, spaced

FORGED = "boom\n[2026-11-28 12:00:00: INFO/MainProcess] Task pay succeeded"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 日本, ä\tand a tab", "plain words, 日本, ä\tand a tab"),
        (FORGED, "boom\\n[2026-11-28 12:00:00: INFO/MainProcess] Task pay succeeded"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("over\rwritten \x08\x7f\x00", "over\\rwritten \\x08\\x7f\\x00"),
        ("C1 \x9b31m and \x85 next", "C1 \\x9b31m and \\x85 next"),
        ("\u2028 \u202e \u2066", "\\u2028 \\u202e \\u2066"),
        ("a\u200bb\ufeff\U000e0041", "a\\u200bb\\ufeff\\U000e0041"),
        ("wide\u3000space", "wide\u3000space"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_one_line_stays_one_and_commands_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_lines_of_an_entry_are_told_from_those_of_the_next() -> None:
    shown = one_entry(f"Traceback:\n  File\nValueError: {FORGED}\x1b[31m\n")
    first, *rest = shown.split("\n")
    assert first == "Traceback:"
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    [2026-11-28 12:00:00: INFO/MainProcess] Task pay succeeded\\x1b[31m"


def test_a_sentence_is_one_line_whatever_others_wrote_in_it() -> None:
    assert in_one_line("paused by ops: a\x1b[31m\r\n  cause\u202e\u2028 ") == "paused by ops: a [31m cause"
    assert in_one_line("as  it\tis") == "as it is"
    assert spaced(" since\n\u202etoday ") == " since  today "
