"""Payloads encrypted where they lie: arguments, results, errors, progress in words and lines of runs (AES-256-GCM).

A sealed word, ``pm-sealed:<key>:<task>:<field>:<base64>.pm``, says all that is needed to open it but the secret, and
stands where the plain text would, within JSON as text. Task and field are authenticated. Each task has keys of its own,
made of the ring's, so that random nonces never meet.
"""

import base64
import binascii
import hmac
import json
import os
import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from pointsman_contract.key_rings import KeyRing

BEGIN = "pm-sealed:"
"""What every sealed word begins with."""
_END = ".pm"
_MARK = BEGIN.encode()
_SEALED = "sealed"
"""The only name in an object that stands for keyword arguments."""
_NONCE_BYTES = 12
_WORD = re.compile(rf"{BEGIN}([A-Za-z0-9_-]{{1,32}}):([^:\s\"\\]{{1,200}}):([a-z]+):([A-Za-z0-9_-]*)(\.pm)?")
_IN_JSON = re.compile(
    rf'(?P<before>(?<!\\)(?:\[\s*"|{{\s*"{_SEALED}"\s*:\s*"|"))?(?P<word>{_WORD.pattern})(?P<after>"\s*\]|"\s*}}|")?'
)
_TAIL = re.compile(r"(?<![A-Za-z0-9_:-])[A-Za-z0-9_-]{24,}\.pm(?![A-Za-z0-9])")
CUT = "(encrypted; it was cut here)"
BROKEN = "(encrypted; it was changed since)"
HIDDEN = "(encrypted)"
MISSING = "cryptography is not installed, which encryption_keys needs: pip install 'pointsman[encryption]'"


class Field(StrEnum):
    """What is sealed. The first four stand for a JSON value, the others for text."""

    ARGS = "args"
    KWARGS = "kwargs"
    RESULT = "result"
    META = "meta"
    MESSAGE = "message"
    TRACEBACK = "traceback"
    NOTE = "note"
    LINE = "line"


_VALUES = frozenset({"result", "meta"})
_CONTAINERS = {"args": re.compile(r'\[\s*"|"\s*\]'), "kwargs": re.compile(rf'{{\s*"{_SEALED}"\s*:\s*"|"\s*}}')}
"""What stands around a word that stands for a list, or for an object."""


Whose = Callable[[str], bool]
"""Whether words of this task are opened. A word says itself what it is of, and may come in as any text does: whoever
has one from elsewhere is told by it what they may see, and no more.
"""


class CannotOpen(Exception):
    """It stays closed. Its text may be shown instead."""


class Sealer:
    """Seals with the first key of a ring, and opens what any of its keys sealed. Safe in every thread."""

    def __init__(self, ring: KeyRing) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise SystemExit(MISSING) from None
        self._invalid = InvalidTag
        self._first = ring.first.name
        self._roots = {key.name: hmac.digest(key.secret, b"pointsman payloads", sha256) for key in ring.keys.values()}

        @lru_cache(maxsize=1024)
        def cipher(key: str, task: str) -> Any:
            return AESGCM(hmac.digest(self._roots[key], task.encode(), sha256))

        self._cipher = cipher

    @staticmethod
    def of(keys: SecretStr | None) -> "Sealer | None":
        """By the setting ``encryption_keys``; None: there are none. Raises ``SystemExit`` without ``cryptography``."""
        return None if keys is None else _sealer(keys.get_secret_value())

    def seal(self, text: str, task: str, field: Field) -> str:
        """The sealed word."""
        nonce = os.urandom(_NONCE_BYTES)
        raw = nonce + self._cipher(self._first, task).encrypt(nonce, text.encode(), _bound_to(task, field))
        return f"{BEGIN}{self._first}:{task}:{field}:{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}{_END}"

    def seal_json(self, text: str, task: str, field: Field) -> str:
        """A JSON text that stands for ``text``, which is one."""
        return f'"{self.seal(text, task, field)}"'

    def seal_arguments(self, args: str, kwargs: str, task: str) -> tuple[str, str]:
        """A JSON array and a JSON object that stand for these."""
        return (
            f'["{self.seal(args, task, Field.ARGS)}"]',
            f'{{"{_SEALED}":"{self.seal(kwargs, task, Field.KWARGS)}"}}',
        )

    def arguments(self, args: Any, kwargs: Any) -> tuple[str | None, str | None]:
        """The JSON texts that were sealed; None for what was not. Raises ``CannotOpen``."""
        word = args[0] if type(args) in (list, tuple) and len(args) == 1 else None
        named = kwargs.get(_SEALED) if type(kwargs) is dict and len(kwargs) == 1 else None
        return (
            self.open(str(word)) if is_sealed(word, Field.ARGS) else None,
            self.open(str(named)) if is_sealed(named, Field.KWARGS) else None,
        )

    def open(self, word: str) -> str:
        """The plain text of a sealed word. Raises ``CannotOpen``."""
        found = _WORD.fullmatch(word)
        if found is None:
            raise CannotOpen(CUT)
        return self._open(*found.groups())

    def opened(self, text: str, written: Callable[[str], str] = str, whose: Whose | None = None) -> str:
        """A text for people with every sealed word in it opened, or what keeps it closed in its place; ``written``: how
        that is written there; ``whose``: of which tasks, None: of all.
        """
        if BEGIN in text:
            text = _WORD.sub(lambda found: written(self._or_why(whose, *found.groups())), text)
        elif _END in text:
            text = _TAIL.sub(CUT, text)
        return text

    def opened_json(self, body: bytes, whose: Whose | None = None) -> bytes:
        """A JSON text with every sealed word in it opened, or what keeps it closed in its place; ``whose``: of which
        tasks, None: of all.
        """
        if _MARK not in body:
            return body
        return _IN_JSON.sub(partial(self._in_json, whose), body.decode()).encode()

    def opened_json_text(self, text: str) -> str:
        """The same of a text."""
        return _IN_JSON.sub(partial(self._in_json, None), text) if BEGIN in text else text

    def _in_json(self, whose: Whose | None, found: re.Match[str]) -> str:
        before, after = found["before"] or "", found["after"] or ""
        groups = found.groups()[2:7]
        try:
            text = self._open_of(whose, *groups)
        except CannotOpen as why:
            return f"{before}{json.dumps(str(why))[1:-1]}{after}"
        if groups[2] in _VALUES and before.endswith('"') and after.startswith('"'):
            return f"{before[:-1]}{text}{after[1:]}"
        if groups[2] in _CONTAINERS and all(map(_CONTAINERS[groups[2]].fullmatch, (before, after))):
            return text
        return f"{before}{json.dumps(text, ensure_ascii=False)[1:-1]}{after}"

    def _or_why(self, whose: Whose | None, *groups: str | None) -> str:
        try:
            return self._open_of(whose, *groups)
        except CannotOpen as why:
            return str(why)

    def _open_of(self, whose: Whose | None, *groups: str | None) -> str:
        if whose is not None and not whose(groups[1] or ""):
            raise CannotOpen(HIDDEN)
        return self._open(*groups)

    def _open(self, *groups: str | None) -> str:
        key, task, field, text, end = (group or "" for group in groups)
        if not end:
            raise CannotOpen(CUT)
        if key not in self._roots:
            raise CannotOpen(f"(encrypted with key {key}, which is not here)")
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            plain: bytes = self._cipher(key, task).decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(task, field)
            )
        except (self._invalid, ValueError, binascii.Error):
            raise CannotOpen(BROKEN) from None
        return plain.decode()


def is_sealed(text: object, field: Field | None = None) -> bool:
    """Whether this is a sealed word, of that field."""
    if type(text) is not str or not text.startswith(BEGIN):
        return False
    return field is None or text.split(":", 4)[3:4] == [str(field)]


def stands_sealed(value: object) -> bool:
    """Whether a sealed word stands for all of these arguments: a list, or an object."""
    if isinstance(value, dict):
        return len(value) == 1 and is_sealed(value.get(_SEALED), Field.KWARGS)
    return isinstance(value, (list, tuple)) and len(value) == 1 and is_sealed(value[0], Field.ARGS)


def tasks_in(body: bytes) -> frozenset[str]:
    """The tasks that the sealed words in a text are of, by what they say themselves."""
    return frozenset(found[2] for found in _WORD.finditer(body.decode())) if _MARK in body else frozenset()


def hidden(text: str) -> str:
    """A text with every sealed word in it replaced: for whom it is not opened."""
    return _WORD.sub(HIDDEN, text) if BEGIN in text else text


def _bound_to(task: str, field: str) -> bytes:
    return f"{task}\0{field}".encode()


@lru_cache(maxsize=8)
def _sealer(ring: str) -> Sealer:
    return Sealer(KeyRing.parse(ring))
