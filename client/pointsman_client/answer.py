"""An answer, whatever it says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """What the logs of the API call this request."""
        return self.headers.get("x-request-id")

    def json(self) -> Any:
        """The document that it is. Raises ``ValueError``."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
