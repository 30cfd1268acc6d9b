"""Text of somebody else in a log, or on a terminal: it can neither begin a line of its own nor command a terminal."""

import unicodedata

_INDENT = "    "
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and format characters, such as what turns the direction of text, half characters, and ends of lines."""


class _Escapes:
    """For ``str.translate``: what is hidden is shown as it would be written in Python, but for these."""

    def __init__(self, but: str) -> None:
        self._but = but

    def __getitem__(self, code: int) -> str:
        char = chr(code)
        if char in self._but or unicodedata.category(char) not in _HIDDEN:
            return char
        return char.encode("unicode_escape").decode()


_ESCAPES = _Escapes(but="\t")
_ESCAPES_WITHIN_LINES = _Escapes(but="\t\n")


def says_something(text: str) -> bool:
    """Whether it has a character that can be seen."""
    return any(not char.isspace() and unicodedata.category(char) not in _HIDDEN for char in text)


def printable(text: str) -> str:
    r"""One line: every control and format character is shown as Python writes it, ``\n`` and ``\x1b``; tabs stay."""
    return text if text.isprintable() else text.translate(_ESCAPES)


def in_one_line(text: str) -> str:
    """A sentence of ours with text of others in it: without line breaks, controls, and what turns the direction of
    writing. Where such stood is a space, and several are one.
    """
    return text if text.isprintable() and "  " not in text else " ".join(spaced(text).split())


def spaced(text: str) -> str:
    """The same for a piece of a sentence: its own spaces stay."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def one_entry(text: str) -> str:
    """Lines that belong together: those after the first are indented, which no entry's first line is."""
    if text.isprintable():
        return text
    return text.rstrip("\n").translate(_ESCAPES_WITHIN_LINES).replace("\n", f"\n{_INDENT}")
