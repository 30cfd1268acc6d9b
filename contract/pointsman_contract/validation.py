"""What pydantic found wrong, in one line."""

from pydantic_core import ValidationError

_LONGEST_PLACE = 100


def first_fault(error: ValidationError, whole: str) -> str:
    """The first fault and its place, ``queues.0: Input should be a valid string``. Never the value that is at fault.

    ``whole`` names the place where it is no field.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:_LONGEST_PLACE]
    return f"{place or whole}: {first['msg']}"
