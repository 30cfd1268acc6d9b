"""``GET /metrics``: Prometheus or OpenMetrics text, ``pointsman_`` names, base units, never a task id as a label."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TypeVar

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from pointsman_service.api.parts import GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, ExpectedFault, InvalidRequest
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.exposition import Exposition, Snapshot
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.store.alerts import alerts
from pointsman_service.store.store import StatementRefused
from pointsman_service.store.streams import left_out
from pointsman_service.store.streams.left_out import Reason
from pointsman_service.telemetry import logger

log = logger(__name__)

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_DATABASE_SECONDS = 4.0
_EXAMPLE = """\
# HELP pointsman_tasks_submitted_total Tasks submitted.
# TYPE pointsman_tasks_submitted_total counter
pointsman_tasks_submitted_total{queue="critical",task_type="echo"} 12.0
"""

Answer = TypeVar("Answer")


@router.get(
    "/metrics",
    operation_id="get_prometheus_metrics",
    summary="Metrics for Prometheus",
    description="Answers also while the database or the broker is away; what is not known then is absent.",
    response_class=Response,
    responses=problem_responses(InvalidRequest)
    | {
        200: {
            "description": "Prometheus text, or OpenMetrics when asked for.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
async def get_prometheus_metrics(request: Request, parts: GivenParts) -> Response:
    """The metrics of everything known now, collected for this request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(await _snapshot(parts)))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    # Some thousand lines are tens of milliseconds, in which nobody should wait for this process.
    return Response(await asyncio.to_thread(encode, registry), media_type=content_type)


async def _snapshot(parts: Parts) -> Snapshot:
    views = parts.views
    broker, sums, backlog, workers, lag, counted = await asyncio.gather(
        _broker(views.broker),
        _if_known(views.totals.read()),
        _if_known(views.backlog.read()),
        _if_known(views.workers.read()),
        _if_known(views.readiness.recorder_lag()),
        _if_known(_counted(parts)),
    )
    pools = [pool.name for pool in parts.settings.topology.pools]
    kinds = parts.catalogue.places(parts.settings)
    open_alerts, left = counted or (None, None)
    return Snapshot(broker, sums, backlog, workers, lag, pools, open_alerts, kinds, left)


async def _broker(watch: BrokerWatch) -> BrokerState:
    state = await watch.state()
    return replace(state, set_aside=await watch.set_aside()) if state.up else state


async def _counted(parts: Parts) -> tuple[Mapping[tuple[str, str], int], Mapping[Reason, int]]:
    """Open alerts, and what was left out of the event streams."""
    async with parts.store.statement() as connection:
        return await alerts.counts(connection), await left_out.counts(connection)


async def _if_known(question: Awaitable[Answer]) -> Answer | None:
    try:
        return await within(_DATABASE_SECONDS, question)
    except (DatabaseAway, ExpectedFault, NotInTime, StatementRefused) as error:
        log.info("a metric is left out", reason=f"{type(error).__name__}: {error}")
        return None
