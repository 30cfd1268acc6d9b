"""``If-Match`` and ``If-None-Match`` of a circuit breaker.

Its ETag names the version of its policy, which is all that a change of the policy must not miss, and what was shown,
which is all that a reader who has it already needs to know.
"""

import re
from hashlib import sha256
from typing import Any

from fastapi import Request

from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.registry import Condition
from pointsman_service.errors import PolicyChanged

_TAG = re.compile(r'(?:W/)?"policy-(\d{1,9})(?:-[0-9a-f]{16})?"')
_ANY = "*"


def _header(name: str, description: str) -> dict[str, Any]:
    """The OpenAPI of a header that the functions below read by themselves: it may come on several lines."""
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


IF_NONE_MATCH_OF_A_READER = [_header("If-None-Match", "The `ETag` of what the caller has already.")]
CONDITIONS_OF_A_CHANGE = [
    _header("If-Match", "The `ETag` whose policy it must still have."),
    _header("If-None-Match", "`*`: it must have no policy of its own; an `ETag`: it must have another policy."),
]


def etag_of(entry: Entry, shown: bytes) -> str:
    """The ETag of a breaker that is shown so."""
    return f'"policy-{entry.policy_version}-{sha256(shown).hexdigest()[:16]}"'


def has_it_already(request: Request, etag: str) -> bool:
    """Whether the reader named this ETag in ``If-None-Match``."""
    given = _given(request, "if-none-match")
    return given is not None and (given == [_ANY] or etag in [tag.removeprefix("W/") for tag in given])


def condition_of(request: Request) -> Condition:
    """What the request wants to hold of the policy before it is changed; ``PolicyChanged`` where it does not."""
    matching, unwanted = _given(request, "if-match"), _given(request, "if-none-match")

    def check(entry: Entry) -> None:
        if matching not in (None, [_ANY]) and entry.policy_version not in _versions(matching):
            raise PolicyChanged
        if unwanted == [_ANY] and entry.has_own_policy:
            raise PolicyChanged("It has a policy of its own already, and If-None-Match wants it to have none.")
        if unwanted is not None and entry.policy_version in _versions(unwanted):
            raise PolicyChanged("Its policy is the one that If-None-Match names.")

    return check


def _given(request: Request, header: str) -> list[str] | None:
    """The tags of a header, which may come on several lines."""
    lines = request.headers.getlist(header)
    return [tag.strip() for line in lines for tag in line.split(",")] if lines else None


def _versions(tags: list[str] | None) -> set[int]:
    """Of the policy. Any other tag was given for something else."""
    return {int(found[1]) for tag in tags or () if (found := _TAG.fullmatch(tag)) is not None}
