"""The text of a key: ``pm_``, 32 characters of base 62 drawn at random, and 6 that are a CRC-32 of them.

The check makes a typo known for one without asking anybody, and lets scanners of leaked secrets know a key for sure.
Only a digest of a key is kept. With 190 random bits no slow hash is needed: nobody can try them all.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "pm_"
ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
PATTERN: Final = rf"{PREFIX}[0-9A-Za-z]{{38}}"
"""What each key matches, for scanners."""
_RANDOM = 32
_CHECK = 6
_SHAPE = re.compile(PATTERN.encode())
_FIRST = len(PREFIX) + 4
_LAST = 4


def new_token() -> str:
    """A key that nobody else has."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM))
    return f"{PREFIX}{drawn}{_check_of(drawn.encode())}"


def new_session() -> str:
    """What a browser that signed in is known by: no key, and of no use as one."""
    return secrets.token_urlsafe(32)


def is_token(text: bytes) -> bool:
    """Whether it can be a key: False for every one with a single wrong character, or two neighbours swapped."""
    if _SHAPE.fullmatch(text) is None:
        return False
    return _check_of(text[len(PREFIX) : -_CHECK]).encode() == text[-_CHECK:]


def digest_of(token: bytes) -> bytes:
    """What is kept of a key: its SHA-256."""
    return hashlib.sha256(token).digest()


def shown(token: str) -> tuple[str, str]:
    """The first and the last characters of a key, by which people know it again. 28 of its drawn characters stay
    unknown: the last are of its check.
    """
    return token[:_FIRST], token[-_LAST:]


def _check_of(drawn: bytes) -> str:
    number, written = zlib.crc32(drawn), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(ALPHABET))
        written = ALPHABET[digit] + written
    return written
