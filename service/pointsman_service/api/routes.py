"""All routes of the API."""

from fastapi import FastAPI

from pointsman_service.api import (
    alert_deliveries,
    alerts,
    attempts,
    breaker_calls,
    breaker_events,
    breakers,
    cancel,
    dead_letters,
    documentation,
    health,
    metrics,
    prometheus,
    queue_actions,
    queues,
    replays,
    retry,
    set_aside,
    submissions,
    task_types,
    tasks,
    worker_actions,
    workers,
)
from pointsman_service.api.documentation import add_documentation
from pointsman_service.api.methods import HeadAsGet
from pointsman_service.api.problems.answering import leave_errors

_ROUTERS = (
    submissions.router,
    tasks.router,
    attempts.router,
    cancel.router,
    retry.router,
    dead_letters.router,
    replays.router,
    queues.router,
    queue_actions.router,
    set_aside.router,
    task_types.router,
    workers.router,
    worker_actions.router,
    breaker_events.router,
    breakers.router,
    breaker_calls.router,
    alerts.router,
    alert_deliveries.router,
    metrics.router,
    health.router,
    prometheus.router,
)


def register(app: FastAPI) -> None:
    """Give ``app`` every endpoint, and ``/docs``. Its errors are raised: what stands before it answers them.

    ``app`` is made with ``docs_url=None, redoc_url=None``, and ``app.state.parts`` set before its first request.
    """
    # A redirect would hide a wrong path from its caller.
    app.router.redirect_slashes = False
    for router in _ROUTERS:
        app.include_router(router)
    add_documentation(app)
    # What the app makes of a router that it includes does not tell its methods.
    app.state.routes = [route for router in (*_ROUTERS, documentation.router) for route in router.routes] + app.routes
    app.add_middleware(HeadAsGet)
    leave_errors(app)
