"""Header fields of a request by name, as they were found by whoever stands before every route."""

from typing import Any

ONCE = "pointsman.header_fields"
"""In the scope of a request no field of which stands twice: its fields by name. One look-up of each costs the hot route
less than going through all of them again."""


def fields_given_once(scope: Any) -> dict[bytes, bytes] | None:
    """The fields by name, in lower case; None where one stands twice or nobody has looked: then all must be gone
    through.
    """
    found: dict[bytes, bytes] | None = scope.get(ONCE)
    return found
