"""The OpenAPI document, and ``/docs`` from assets that are served here: no other host is asked."""

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.staticfiles import StaticFiles

from pointsman_contract import RELEASE
from pointsman_service.access.rights import RIGHTS
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import restore_nulls
from pointsman_service.api.documentation.schemas import (
    add_everywhere,
    add_rights,
    hoist_bodies,
    narrow_parameters,
    schema_of,
)
from pointsman_service.api.problems.described import every_problem
from pointsman_service.api.problems.document import MEDIA_TYPE, SCHEMA_NAME, FieldFault, Problem
from pointsman_service.errors import (
    BodyTooLarge,
    CrossSite,
    HeadTooLarge,
    IssuerAway,
    KeyExpired,
    KeyMissing,
    KeyRevoked,
    KeyUnknown,
    OutsideKey,
    PathTooLong,
    PointsmanError,
    ScopeMissing,
    TokenExpired,
    TokenInvalid,
    TooSlow,
    UnknownHost,
)

_ASSETS = Path(__file__).parent / "static" / "swagger-ui"
_DESCRIPTION = """\
Submit tasks for Celery workers over HTTP; each is stored durably, sent down the right queue, run, and recorded once.

Times are ISO 8601 with an offset, in answers UTC. Durations are numbers of seconds. Errors are problem documents (RFC
9457). A parameter or field that does not exist, or is given twice, is refused, never ignored; so is a filter that names
a queue or a task type that nobody knows. `x-problems` lists every `type` of a problem.

Each operation takes one scope of a key, which stands in its `security`; where the API is reached from its own machine
alone, no key is asked for. Without `payload:read` arguments, results, tags, progress and messages of errors are masked
in every answer.
"""
_TAGS = [
    {"name": "tasks", "description": "Submit and look at tasks."},
    {"name": "dead letters", "description": "What has failed for good, and running it again."},
    {"name": "errors", "description": "Failures by their cause, and what was said of them."},
    {"name": "queues", "description": "Backlog, rates and targets."},
    {"name": "task types", "description": "What the workers can run."},
    {"name": "workers", "description": "Who runs it."},
    {"name": "breakers", "description": "Circuit breakers, for other services too."},
    {"name": "alerts", "description": "What is wrong, and who was told."},
    {"name": "metrics", "description": "What happened, in figures."},
    {"name": "keys", "description": "Who may call, and what they may."},
    {"name": "audit", "description": "Who did what, when and why."},
    {"name": "now", "description": "What is wrong now, and what a person can do."},
    {"name": "health", "description": "For probes and load balancers."},
]
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""FastAPI's own 422, which no operation answers with."""

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_PLACES = {
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "tasks": "/v1/tasks",
    "task_types": "/v1/task-types",
    "queues": "/v1/queues",
    "workers": "/v1/workers",
    "dead_letters": "/v1/dead-letters",
    "errors": "/v1/errors",
    "breakers": "/v1/breakers",
    "alerts": "/v1/alerts",
    "keys": "/v1/keys",
    "audit": "/v1/audit",
    "metrics": "/v1/metrics/tasks",
    "prometheus": "/metrics",
    "ready": "/readyz",
    "live": "/livez",
}

router = APIRouter()


def places() -> dict[str, str]:
    """Where things of the API are, as paths: a proxy may have put a prefix before them."""
    return {"name": "pointsman", "version": RELEASE, **_PLACES}


@router.get("/", include_in_schema=False)
async def show_places() -> Response:
    """Where things are."""
    return json_response(places())


@router.get("/docs", include_in_schema=False)
async def show_documentation() -> Response:
    """Swagger UI. Its links are relative, so that it works behind a path prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Pointsman",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = _policy_of(bytes(page.body))
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def _policy_of(page: bytes) -> str:
    """The page runs its own scripts, asks only this API, and stands in no other page."""
    scripts = " ".join(
        f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in _INLINE_SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION,
        tags=_TAGS,
        routes=app.routes,
        license_info=app.license_info,
    )
    schemas: dict[str, Any] = found.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, FieldFault):
        schema = schema_of(model)
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    assert SCHEMA_NAME in schemas
    hoist_bodies(found)
    narrow_parameters(found)
    of_callers = (KeyMissing, KeyUnknown, KeyExpired, KeyRevoked, TokenInvalid, TokenExpired, IssuerAway)
    always = _told(*of_callers, UnknownHost, TooSlow, PathTooLong, HeadTooLarge)
    add_rights(found, {name: right.scope for name, right in RIGHTS.items()}, _told(CrossSite, ScopeMissing, OutsideKey))
    add_everywhere(found, always, _told(CrossSite, BodyTooLarge))
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    found["x-problems"] = every_problem()
    restored: dict[str, Any] = restore_nulls(found)
    return restored


def _told(*kinds: type[PointsmanError]) -> dict[str, Any]:
    """Problems by status, briefly: they stand at every operation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA_NAME}"}}}
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        of = titles.setdefault(kind.status, [])
        of.append(kind.title.lower() if of else kind.title)
    return {str(status): {"description": "; ".join(of), "content": content} for status, of in titles.items()}


def add_documentation(app: FastAPI) -> None:
    """Serve ``/docs`` and its assets; ``/openapi.json`` is FastAPI's route over ``document``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI documents replacing it
    app.include_router(router)
    app.mount("/docs/assets", StaticFiles(directory=_ASSETS), name="docs-assets")
