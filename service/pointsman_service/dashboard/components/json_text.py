"""JSON text as people read it, and exactly as it is: no number is rounded, no key moves, and any depth is shown."""

from dataclasses import dataclass
from typing import Final

from pointsman_service.dashboard.components.figures import bytes_of

_PEEK: Final = 80
MOST_SHOWN: Final = 32_768
"""Characters; a longer text is cut, and the API has it whole."""
_STEP: Final = "  "
_OPENS: Final = {"{": "}", "[": "]"}
_CLOSES: Final = "}]"
_SPACE: Final = " \t\r\n"


@dataclass(frozen=True)
class JsonText:
    """JSON to be shown: its beginning, its size, and all of it, or as much as there is room for."""

    peek: str
    size: str
    text: str
    is_cut: bool


def json_text(text: str) -> JsonText:
    """As it is to be shown. What is no JSON is shown as it is."""
    is_cut = len(text) > MOST_SHOWN
    peek = " ".join(text[: 4 * _PEEK].split())
    if len(peek) > _PEEK:
        peek = peek[: _PEEK - 1] + "…"
    return JsonText(peek, bytes_of(len(text.encode())), indented(text[:MOST_SHOWN]), is_cut)


def indented(text: str) -> str:
    """A line for each value."""
    found: list[str] = []
    depth = place = 0
    while place < len(text):
        letter = text[place]
        if letter == '"':
            end = _end_of_string(text, place)
            found.append(text[place:end])
            place = end
            continue
        place += 1
        if letter in _SPACE:
            continue
        if letter in _OPENS:
            place = _skip(text, place)
            if text[place : place + 1] == _OPENS[letter]:
                found.append(letter + text[place])
                place += 1
                continue
            depth += 1
            found.append(letter + _line(depth))
        elif letter in _CLOSES:
            depth -= 1
            found.append(_line(depth) + letter)
        elif letter == ",":
            found.append(letter + _line(depth))
        else:
            found.append(": " if letter == ":" else letter)
    return "".join(found)


def _end_of_string(text: str, begin: int) -> int:
    place = begin + 1
    while place < len(text):
        if text[place] == "\\":
            place += 2
        elif text[place] == '"':
            return place + 1
        else:
            place += 1
    return len(text)


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _line(depth: int) -> str:
    # What is very deep is not moved further: it would be blank space alone.
    return "\n" + _STEP * min(max(depth, 0), 40)
