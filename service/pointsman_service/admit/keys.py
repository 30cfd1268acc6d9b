"""An Idempotency-Key, the same whether it comes in a header or in an item of a batch."""

import re

LONGEST_KEY = 255
_SIGN = r"[^\x00-\x1f\x7f-\x9f]"
_SOME = r'[ "]*[^ "\x00-\x1f\x7f-\x9f]'
"""Some sign that is neither a space nor a quote."""
KEY_PATTERN = rf'^(?={_SOME}) *("{_SIGN}{{1,{LONGEST_KEY}}}"|{_SIGN}{{1,{LONGEST_KEY}}}) *$'
"""How a key may be written, for readers of the document. Nothing is matched with it here: some text takes too long."""
KEY_RULE = f"must be 1 to {LONGEST_KEY} characters, none of them a control character"

_KEY = re.compile(rf"{_SOME}{_SIGN}*")


def key_of(text: str) -> str:
    """The key that is written so: spaces around it, and one pair of quotes, do not belong to it. Raises ``ValueError``
    for what is none.
    """
    key = text.strip(" ")
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= LONGEST_KEY or _KEY.fullmatch(key) is None:
        raise ValueError(KEY_RULE)
    return key
