"""What is answered to a request that failed, on whichever route: one place for all of them."""

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware

from pointsman_service.api.answers.answer import Answer, Headers
from pointsman_service.api.answers.methods import allowed_methods
from pointsman_service.api.problems.document import MEDIA_TYPE, problem_bytes, problem_headers
from pointsman_service.api.problems.translation import as_error
from pointsman_service.errors import ExpectedFault, MethodNotAllowed, PointsmanError
from pointsman_service.store.store import StatementRefused
from pointsman_service.telemetry import logger

log = logger(__name__)

ANSWER_BEGUN = "pointsman.answer_begun"
"""In the scope of a request from when its answer began: what stands before the API puts it there."""


def answer_to(error: Exception, scope: Any) -> Answer | None:
    """The answer to a request that ended with ``error``, which is logged where it is a fault of ours or of a server.
    None when an answer is under way: it can only be cut off.
    """
    if ANSWER_BEGUN in scope:
        return None
    if isinstance(error, HTTPException) and error.status_code == MethodNotAllowed.status:
        return _allowed(error, scope)
    log_failure(error, scope["path"])
    return refusal(as_error(error), scope["path"])


def refusal(error: PointsmanError, path: str | None, more: Headers | None = None) -> Answer:
    """The problem document of ``error`` as the answer to a request for ``path``; None: it was not told whole."""
    headers: Headers = [(b"content-type", MEDIA_TYPE.encode()), *(more or [])]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem_headers(error).items()]
    return Answer(error.status, headers, problem_bytes(error, None if path is None else quote(path)))


def _allowed(error: HTTPException, scope: Any) -> Answer:
    allow = (b"allow", allowed_methods(scope["app"].state.routes, scope).encode())
    if scope["method"] == "OPTIONS":
        return Answer(204, [allow], b"")
    return refusal(as_error(error), scope["path"], [allow])


def log_failure(error: Exception, path: str) -> None:
    """Log what is a fault of ours or of a server; what a caller did wrong is theirs to know."""
    if isinstance(error, PointsmanError | RequestValidationError | HTTPException):
        return
    if isinstance(error, ExpectedFault):
        log.warning("a request was answered 503", path=path, reason=str(error))
    elif isinstance(error, StatementRefused):
        log.error("the database does not know what a request needs", path=path, reason=str(error), exc_info=error)
    else:
        log.error("a request failed", path=path, exc_info=error)


async def _raise(_request: Any, error: Exception) -> Any:
    raise error


def leave_errors(app: FastAPI) -> None:
    """Let every error of ``app`` reach whoever called it, instead of being answered in the framework's own words."""
    app.exception_handlers.clear()
    # Starlette has an answer of its own to these where no other is given.
    app.add_exception_handler(HTTPException, _raise)
    build = app.build_middleware_stack

    def without_the_outermost() -> Any:
        outermost = build()
        assert isinstance(outermost, ServerErrorMiddleware)
        return outermost.app

    app.build_middleware_stack = without_the_outermost  # type: ignore[method-assign]
