"""What callers would like (RFC 7240): that an answer waits. What cannot be understood is ignored, as it asks there."""

import re
from typing import Any

from pointsman_service.api.bodies.header_fields import fields_given_once

APPLIED = "Preference-Applied"
STILL = "pointsman.still"
"""In the scope of a request that may wait, of a caller whose key may end meanwhile: finds out anew who it is."""
_WAIT = re.compile(rb"""\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?""", re.IGNORECASE)


def has_preference(scope: Any) -> bool:
    """Whether a request says at all what it would like."""
    fields = fields_given_once(scope)
    return b"prefer" in fields if fields is not None else any(name == b"prefer" for name, _ in scope["headers"])


def wait_of(scope: Any, most: int) -> int | None:
    """How many seconds the answer may wait for what it tells of, ``most`` at the most. None: not at all."""
    for name, value in scope["headers"]:
        if name == b"prefer":
            for preference in value.split(b","):
                found = _WAIT.fullmatch(preference)
                if found is not None:
                    return min(int(found[1] or found[2]), most)
    return None


async def check_still(scope: Any) -> None:
    """Of an answer that has waited: raises what is wrong by now with the key that it was asked with."""
    who = scope.get(STILL)
    if who is not None:
        await who()


def prefer_wait(description: str) -> dict[str, Any]:
    """The OpenAPI of the header."""
    return {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": "wait=10",
    }


APPLIED_HEADER = {
    APPLIED: {
        "description": "`wait=` and how many seconds the answer would have waited: with `Prefer: wait` alone.",
        "schema": {"type": "string"},
    }
}
"""The OpenAPI of the header of an answer that may have waited."""
