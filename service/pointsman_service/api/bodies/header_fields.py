"""Header fields of a request by name, as they were found by whoever stands before every route."""

from typing import Any

_ONCE = "pointsman.header_fields"


def note_fields(scope: Any, fields: dict[bytes, bytes]) -> None:
    """Keep the fields of a request by name, of which none stands twice: one look-up of each costs the hot route less
    than going through all of them again.
    """
    scope[_ONCE] = scope["headers"], fields


def fields_given_once(scope: Any) -> dict[bytes, bytes] | None:
    """The fields by name, in lower case; None where one stands twice, nobody has looked, or the request was given other
    fields since: then all must be gone through.
    """
    found: tuple[Any, dict[bytes, bytes]] | None = scope.get(_ONCE)
    return found[1] if found is not None and found[0] is scope["headers"] else None
