"""Key rings: several secrets with names, so that one can be replaced while others still use the one before.

A ring is text, ``name:secret`` for each key, by lines or commas. The first key is the one that is used for what is new;
all of them open what is there.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SECRET = re.compile(r"[A-Za-z0-9+/_=-]{32,512}")
SECRET_CHARACTERS = 32
"""A shorter secret could be guessed."""


class Key(NamedTuple):
    """One secret of a ring."""

    name: str
    """It stands beside what was made with the key, for anybody to read."""
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.name!r}, ***)"


class KeyRing:
    """Keys by their names, in their order."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.first = keys[0]
        """Used for what is new."""
        self.keys: Mapping[str, Key] = {key.name: key for key in keys}

    @classmethod
    def parse(cls, text: str) -> Self:
        """The ring in a text. Raises ``ValueError``, which quotes nothing of it but names of keys."""
        keys: list[Key] = []
        for number, word in enumerate(text.replace(",", "\n").split(), 1):
            name, colon, secret = word.partition(":")
            if not colon or _NAME.fullmatch(name) is None:
                raise ValueError(f"key {number} must be a name of letters, digits, - and _, a colon and its secret")
            if _SECRET.fullmatch(secret) is None:
                raise ValueError(
                    f"the secret of key {name} must be {SECRET_CHARACTERS} or more of A-Z a-z 0-9 + / - _ ="
                )
            if any(name == key.name for key in keys):
                raise ValueError(f"key {name} is there twice")
            keys.append(Key(name, secret.encode()))
        if not keys:
            raise ValueError("must hold a key: its name, a colon and its secret")
        return cls(keys)
