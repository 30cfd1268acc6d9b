"""Arguments, results and the like, as text: never as anything that a browser would read otherwise."""

import json
from dataclasses import dataclass
from typing import Any

from pointsman_service.dashboard.components.figures import bytes_of

_PEEK = 80
MASKED = "hidden: it takes the scope payload:read"


@dataclass(frozen=True)
class Payload:
    """JSON to be shown: its beginning, its size, and all of it."""

    peek: str
    size: str
    text: str


def payload(value: Any) -> Payload:
    """JSON as people read it. Large integers stay exact, and no key moves."""
    short = json.dumps(value, ensure_ascii=False, default=str)
    peek = short if len(short) <= _PEEK else short[: _PEEK - 1] + "…"
    return Payload(peek, bytes_of(len(short.encode())), json.dumps(value, ensure_ascii=False, indent=2, default=str))
