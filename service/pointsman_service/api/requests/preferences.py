"""What callers would like (RFC 7240): that an answer waits. What cannot be understood is ignored, as it asks there."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pointsman_service.api.bodies.header_fields import fields_given_once

APPLIED = "Preference-Applied"
STILL = "pointsman.still"
"""In the scope of a request that may wait, of a caller whose key may end meanwhile: its ``Still``."""
_WAIT = re.compile(rb"""\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?""", re.IGNORECASE)


class Still(NamedTuple):
    """What becomes of a caller while its answer waits."""

    check: Callable[[], Awaitable[None]]
    """Finds out anew who it is. Raises what is wrong by now with what it came with."""
    until_it_ends: Callable[[], Awaitable[None]]
    """Returns when what it came with opens another thing than it did, or nothing."""


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


async def while_still(scope: Any, wait: Awaitable[None]) -> None:
    """Wait, for an answer that may wait, and end at once with what was asked with. Raises what is wrong with that by
    then.
    """
    still: Still | None = scope.get(STILL)
    if still is None:
        await wait
        return
    waits, ends = asyncio.ensure_future(wait), asyncio.ensure_future(still.until_it_ends())
    try:
        await asyncio.wait({waits, ends}, return_when=asyncio.FIRST_COMPLETED)
        await still.check()
        # What was changed, and opens this all the same, lets it wait on.
        await waits
        await still.check()
    finally:
        waits.cancel()
        ends.cancel()


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
