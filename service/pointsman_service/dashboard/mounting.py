"""The dashboard beside the API."""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from pointsman_contract import RELEASE
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.document import places
from pointsman_service.dashboard.answers import html, new_nonce
from pointsman_service.dashboard.application import Dashboard
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.rendering import asset_path, environment


def mount(app: FastAPI, dashboard: Dashboard) -> None:
    """Give ``app`` the dashboard, and a page at its root for who asks with a browser. After ``register``."""
    routes = [
        Route("/", show_root, include_in_schema=False),
        Route(ROOT, to_the_dashboard, include_in_schema=False),
        Mount(ROOT, dashboard),
    ]
    # Before the root of the API, which answers everybody else.
    app.router.routes[:0] = routes
    app.state.routes = [*routes, *app.state.routes]


async def show_root(request: Request) -> Response:
    """Where things are: a page, or JSON for who does not ask for HTML."""
    if "text/html" not in request.headers.get("accept", ""):
        return json_response({**places(), "dashboard": f"{ROOT}/"}, headers={"Vary": "Accept"})
    values: dict[str, Any] = {"asset": asset_path, "release": RELEASE, "root": f"{ROOT[1:]}/"}
    page = html(request.scope, environment().get_template("places.html").render(values), new_nonce())
    headers = {name.decode(): value.decode() for name, value in page.headers}
    headers["vary"] = "accept, accept-encoding"
    return Response(page.body, page.status, headers)


async def to_the_dashboard(_: Request) -> Response:
    """Relative, so that it holds behind a prefix."""
    return RedirectResponse(f"{ROOT.rpartition('/')[2]}/", status_code=308)
