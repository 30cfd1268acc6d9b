"""All routes of the API."""

from fastapi import Depends, FastAPI

from pointsman_service.api import explain, health, now, task_types
from pointsman_service.api.alerts import deliveries
from pointsman_service.api.alerts import routes as alerts
from pointsman_service.api.answers.masking import Masking
from pointsman_service.api.answers.methods import HeadAsGet
from pointsman_service.api.audit import routes as audit
from pointsman_service.api.breakers import by_hand, calls
from pointsman_service.api.breakers import events as breaker_events
from pointsman_service.api.breakers import routes as breakers
from pointsman_service.api.dead_letters import replays
from pointsman_service.api.dead_letters import routes as dead_letters
from pointsman_service.api.documentation import document as documentation
from pointsman_service.api.documentation.document import add_documentation
from pointsman_service.api.errors import routes as errors
from pointsman_service.api.keys import routes as keys
from pointsman_service.api.metrics import history, predictions, prometheus, sla, timeseries
from pointsman_service.api.metrics import routes as metrics
from pointsman_service.api.problems.answering import leave_errors
from pointsman_service.api.queues import actions as queue_actions
from pointsman_service.api.queues import routes as queues
from pointsman_service.api.queues import set_aside
from pointsman_service.api.requests.rights import may_do_this
from pointsman_service.api.tasks import (
    acts,
    attempts,
    cancel,
    change,
    events,
    links,
    many,
    retry,
    run_logs,
    submissions,
)
from pointsman_service.api.tasks import routes as tasks
from pointsman_service.api.workers import actions as worker_actions
from pointsman_service.api.workers import routes as workers

_ROUTERS = (
    now.router,
    submissions.router,
    events.router,
    tasks.router,
    attempts.router,
    run_logs.router,
    explain.router,
    cancel.router,
    change.router,
    retry.router,
    links.router,
    many.router,
    acts.router,
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
    by_hand.router,
    calls.router,
    alerts.router,
    deliveries.router,
    errors.router,
    metrics.router,
    history.router,
    sla.router,
    predictions.router,
    timeseries.router,
    keys.router,
    audit.router,
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
        app.include_router(router, dependencies=[Depends(may_do_this)])
    add_documentation(app)
    # What the app makes of a router that it includes does not tell its methods.
    app.state.routes = [route for router in (*_ROUTERS, documentation.router) for route in router.routes] + app.routes
    app.add_middleware(Masking, sealer=lambda: app.state.parts.sealer, store=lambda: app.state.parts.store)
    app.add_middleware(HeadAsGet)
    leave_errors(app)
