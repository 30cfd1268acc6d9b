"""Text of somebody else in a log, or on a terminal: it can neither begin a line of its own nor command a terminal."""

_INDENT = "    "
_HIDDEN = [
    *range(0x20),
    *range(0x7F, 0xA0),
    # Line and paragraph ends of Unicode, and what turns the direction of the text after it.
    *(0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in _HIDDEN if chr(code) != "\t"}
_ESCAPES_WITHIN_LINES = {code: escape for code, escape in _ESCAPES.items() if chr(code) != "\n"}


def printable(text: str) -> str:
    r"""One line: every control character is shown as it would be written in Python, ``\n`` and ``\x1b``; tabs stay."""
    return text if text.isprintable() else text.translate(_ESCAPES)


def one_entry(text: str) -> str:
    """Lines that belong together: those after the first are indented, which no entry's first line is."""
    if text.isprintable():
        return text
    return text.rstrip("\n").translate(_ESCAPES_WITHIN_LINES).replace("\n", f"\n{_INDENT}")
