"""Parameters of queries: none is ignored, and what they say can be asked for."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from pointsman_service.errors import FieldError

_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def known_parameters_only(request: Request) -> None:
    """A dependency of every router: a query parameter that the operation does not have is refused, never ignored, and
    so is one that is given twice where one counts.
    """
    known = {field.alias: field for field in request.scope["route"].dependant.query_params}
    faults = []
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            faults.append({"type": "extra_forbidden", "loc": ("query", name), "msg": "this parameter does not exist"})
        elif times > 1 and not _takes_several(known[name].field_info.annotation):
            faults.append({"type": "repeated", "loc": ("query", name), "msg": "this parameter is given more than once"})
    if faults:
        raise RequestValidationError(faults)


def storable(name: str, value: str | None, faults: list[FieldError]) -> str | None:
    """The value of a parameter; what PostgreSQL cannot compare with is a fault."""
    if value is not None and "\x00" in value:
        faults.append(FieldError(pointer=f"/query/{name}", detail="contains a NUL character"))
        return None
    return value


def bounded(moment: datetime | None) -> datetime | None:
    """A moment within what ids and PostgreSQL can express; nothing was or will be submitted outside."""
    return None if moment is None else min(max(moment, _EARLIEST), _LATEST)


def _takes_several(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
