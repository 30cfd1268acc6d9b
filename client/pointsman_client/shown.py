"""Text of others on a terminal: it cannot steer it."""

import re
from functools import lru_cache

# Controls of C0 and C1, and what turns or hides the text around it.
_STEERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BREAKS = re.compile(r"[\t\n\r]+")
_SPELLED = {
    "✖": "X", "▲": "!", "●": "*", "○": "o", "…": "...", "·": "-", "–": "-", "—": "-", "→": "->", "×": "x",
    "›": ">", "‹": "<",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "≤": "<=", "≥": ">=", "§": "S", "\ufffd": "?", "│": "|",
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "=", "▍": "=", "▎": "-", "▏": "-", "─": "-",
    "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "#",
}  # fmt: skip


@lru_cache(maxsize=4096)
def shown(text: str, ascii_only: bool) -> str:
    """The text in one line, without what steers; with ``ascii_only`` spelled in ASCII."""
    if not text.isascii() or not text.isprintable():
        text = _STEERS.sub("\ufffd", _BREAKS.sub(" ", text))
        if ascii_only:
            text = "".join(character if character.isascii() else _SPELLED.get(character, "?") for character in text)
    return text


def can_say(text: str, encoding: str | None) -> bool:
    """Whether an encoding has these characters."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
