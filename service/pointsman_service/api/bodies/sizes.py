"""How much there is in a JSON text, before it is parsed: what it becomes takes many times its length."""

from typing import Final

from pointsman_service.errors import FieldError, InvalidRequest

MOST_CONTAINERS: Final = 250_000
"""Of a body: each may be two bytes of text, and takes fifty times that and a microsecond of everybody's time."""
MOST_VALUES: Final = 1_000_000
"""Of a body, the names of members counted as well: each takes about sixty bytes. No shorter body has more."""
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"[{,:'))


def check_containers(body: bytes) -> None:
    """Raises ``InvalidRequest`` for more than ``MOST_CONTAINERS`` arrays and objects."""
    if opened(body) > MOST_CONTAINERS:
        raise InvalidRequest(
            errors=[FieldError(pointer="", detail=f"has more than {MOST_CONTAINERS} arrays and objects")]
        )


def opened(body: bytes) -> int:
    """The arrays and objects that are opened in a JSON text."""
    structure = _structure(body)
    return structure.count(b"[") + structure.count(b"{")


def check_values(body: bytes) -> None:
    """Raises ``InvalidRequest`` for more than ``MOST_VALUES`` values and names."""
    if _marks(body) > MOST_VALUES and _marks(_structure(body)) > MOST_VALUES:
        raise InvalidRequest(errors=[FieldError(pointer="", detail=f"has more than {MOST_VALUES} values and names")])


def _marks(text: bytes) -> int:
    """Each value but the first of its container comes behind a comma, each name before a colon."""
    return text.count(b",") + text.count(b":") + text.count(b"[") + text.count(b"{")


def _structure(body: bytes) -> bytes:
    """The opening brackets, commas and colons outside of strings, also of a text that is not valid."""
    if b"\\" in body:
        # A pair stands for itself, in whichever run: then what is left of each run escapes what follows it.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(None, _NOT_STRUCTURE)
    # Nearly all strings go here, and cheaply: taking two quotes away leaves all others as they were, inside or outside.
    return b"".join(marks.replace(b'""', b"").split(b'"')[::2])
