"""Signatures of what crosses Redis, so that whoever can write there can make nothing up (HMAC-SHA-256, RFC 2104).

Each is ``<name of the key> <MAC in base64>``. What is signed for one purpose is no signature for another. That
something is *missing* no signature can say.

Whatever is told twice is told by its content: a message by its task and sending, an outcome by its task and attempt.
Other events carry a *mark*, ``<lane>:<number>``: of one lane, which one connection of one process has for at most a
day, numbers only rise.
"""

import binascii
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import SecretStr

from pointsman_contract.key_rings import KeyRing

Mode = Literal["off", "warn", "require"]

NO_MARK = "-"
FORGED = "its signature is wrong: it was made up, or changed on its way"
UNSIGNED = "it is not signed"
LANE_SECONDS = 86_400.0
"""So long one lane is used."""


class Purpose(StrEnum):
    """What is signed."""

    MESSAGE = "message"
    EVENT = "event"
    LINES = "lines"
    BEAT = "beat"
    CANCEL = "cancel"
    STEP = "step"


class Forged(Exception):
    """It is not what somebody with a key of ours wrote. What is wrong, in words that quote nothing of it."""


class Signer:
    """Signs with the first key of a ring and knows the signatures of all. Safe in every thread."""

    def __init__(self, ring: KeyRing) -> None:
        self.key = ring.first.name
        self._made = {
            purpose: {
                name: hmac.new(hmac.digest(key.secret, f"pointsman {purpose}".encode(), sha256), digestmod=sha256)
                for name, key in ring.keys.items()
            }
            for purpose in Purpose
        }

    def mac(self, purpose: Purpose, text: bytes) -> str:
        """The MAC alone, by the first key."""
        return _mac(self._made[purpose][self.key], text)

    def sign(self, purpose: Purpose, text: bytes) -> str:
        """A signature."""
        return f"{self.key} {_mac(self._made[purpose][self.key], text)}"

    def check(self, purpose: Purpose, text: bytes, key: str, mac: str) -> None:
        """Raises ``Forged`` unless the key of this name made this MAC."""
        made = self._made[purpose].get(key)
        if made is None:
            raise Forged("it is signed with a key that is not in the ring here")
        if not mac.isascii() or not hmac.compare_digest(_mac(made, text), mac):
            raise Forged(FORGED)

    def check_signature(self, purpose: Purpose, text: bytes, signature: str | None) -> None:
        """Raises ``Forged`` unless this is a signature of ``text``; None is none."""
        if signature is None:
            raise Forged(UNSIGNED)
        key, _, mac = signature.partition(" ")
        self.check(purpose, text, key, mac)


def _mac(made: hmac.HMAC, text: bytes) -> str:
    one = made.copy()
    one.update(text)
    return binascii.b2a_base64(one.digest(), newline=False).decode()


class Trust:
    """What a process believes of what it finds in Redis, and whether it signs what it writes there."""

    def __init__(self, mode: Mode, signer: Signer | None) -> None:
        self.mode = mode
        self.signer = signer
        """None: nothing is signed, and nobody looks."""

    @classmethod
    def of(cls, mode: Mode, keys: SecretStr | None) -> Self:
        """By the settings ``message_signing`` and ``signing_keys``."""
        if mode == "off" or keys is None:
            return cls("off", None)
        return cls(mode, _signer(keys.get_secret_value()))

    @property
    def requires(self) -> bool:
        """Whether what is not signed counts for nothing."""
        return self.mode == "require"


@lru_cache(maxsize=8)
def _signer(ring: str) -> Signer:
    return Signer(KeyRing.parse(ring))


ANYTHING = Trust("off", None)
"""Nothing is signed."""


class Lane:
    """Marks for what one connection writes. To be used by one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._name = ""
        self._until = 0.0
        self._number = 0

    def next(self) -> str:
        """The next mark."""
        now = self._clock()
        if now >= self._until:
            self._name, self._until, self._number = f"{int(now):x}-{secrets.token_hex(8)}", now + LANE_SECONDS, 0
        self._number += 1
        return f"{self._name}:{self._number}"


def began_at(lane: str) -> float:
    """When a lane was begun, in Unix seconds of whoever began it. Raises ``ValueError``."""
    return float(int(lane.partition("-")[0], 16))


def event_text(*fields: str) -> bytes:
    """What is signed of an event: kind, task, attempt, at, late, breaker, mark, body, each as in its entry."""
    return "\0".join(fields).encode()


def lines_text(*fields: str) -> bytes:
    """What is signed of lines: task, attempt, run, first, count, last, lines."""
    return "\0".join(fields).encode()


def cancel_text(task: str, grace: str) -> bytes:
    """What is signed of a request to end a running task."""
    return f"{task}\0{grace}".encode()


def step_text(task: str, key: str, record: Mapping[str, Any]) -> bytes:
    """What is signed of a finished step."""
    return f"{task}\0{key}\0{json.dumps(record, sort_keys=True)}".encode()


_SEALED = ', "signed": "'


def sealed(signer: Signer, purpose: Purpose, text: str) -> str:
    """The text of a JSON object with a field ``signed`` at its end."""
    return f'{text[:-1]}{_SEALED}{signer.sign(purpose, text.encode())}"}}'


def check_sealed(signer: Signer, purpose: Purpose, text: str) -> None:
    """Raises ``Forged`` unless ``sealed`` made this text."""
    before, separator, rest = text.rpartition(_SEALED)
    signature = rest.removesuffix('"}') if separator and rest.endswith('"}') else None
    signer.check_signature(purpose, f"{before}}}".encode(), signature)
