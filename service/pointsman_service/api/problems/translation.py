"""Errors of every kind in our words: what the framework, the database and the broker raise."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pointsman_contract.catalogue import pointer
from pointsman_service.errors import (
    FAULTS_SHOWN,
    BadRequest,
    BodyTooLarge,
    BrokerSilent,
    DatabaseAway,
    DatabaseDiffers,
    ExpectedFault,
    FieldError,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PointsmanError,
    Unavailable,
    UnsupportedMediaType,
)
from pointsman_service.redis import BrokerAway
from pointsman_service.store.store import ConnectionLost, DatabaseTrouble, LockNotGot, StatementRefused


def as_error(error: Exception) -> PointsmanError:
    """An exception of any kind in our words. Nothing of an unexpected one is told."""
    if isinstance(error, PointsmanError):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, ConnectionLost | DatabaseTrouble | LockNotGot):
        return DatabaseAway("The database cannot answer this now. Try again.")
    if isinstance(error, StatementRefused):
        return DatabaseDiffers()
    if isinstance(error, BrokerAway):
        return BrokerSilent()
    if isinstance(error, ExpectedFault):
        return Unavailable()
    return PointsmanError()


@asynccontextmanager
async def in_time(advice: str) -> AsyncIterator[None]:
    """A statement in the block that takes too long is answered 503 with advice."""
    try:
        yield
    except DatabaseTrouble as error:
        if error.took_too_long:
            raise Unavailable(f"That took too long: {advice}.") from error
        raise


def _of_validation(error: RequestValidationError) -> PointsmanError:
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return MalformedJson()
    return InvalidRequest(errors=list(_field_errors(faults)))


def _field_errors(faults: Any) -> Iterator[FieldError]:
    for fault in list(faults)[:FAULTS_SHOWN]:
        place, *path = fault["loc"]
        yield FieldError(pointer=pointer(*path) if place == "body" else pointer(place, *path), detail=fault["msg"])


_BY_STATUS: dict[int, type[PointsmanError]] = {
    kind.status: kind
    for kind in (BadRequest, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
}


def _of_http(error: HTTPException) -> PointsmanError:
    """Starlette's own refusals: no such path, no such method, an unreadable or too large body."""
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = Unavailable if error.status_code == Unavailable.status else PointsmanError
    if kind is NotFound:
        return NotFound("There is nothing at this path; GET /docs shows what there is.")
    return kind()
