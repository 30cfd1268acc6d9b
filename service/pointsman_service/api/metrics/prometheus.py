"""``GET /metrics``: Prometheus or OpenMetrics text, ``pointsman_`` names, base units, never a task id as a label."""

import platform
from collections.abc import Iterator

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from pointsman_contract import RELEASE
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, ExpectedFault, InvalidRequest
from pointsman_service.observe.exposed import ExposedWatch
from pointsman_service.observe.exposition import as_openmetrics, text_of
from pointsman_service.observe.kept import NotInTime
from pointsman_service.store.metrics.exposed import Exposed
from pointsman_service.store.store import StatementRefused
from pointsman_service.telemetry import logger

log = logger(__name__)

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_OPENMETRICS = "application/openmetrics-text"
_EXAMPLE = """\
# HELP pointsman_tasks_submitted_total Tasks submitted.
# TYPE pointsman_tasks_submitted_total counter
pointsman_tasks_submitted_total{queue="critical",task_type="echo"} 12.0
"""


@router.get(
    "/metrics",
    operation_id="get_prometheus_metrics",
    summary="Metrics for Prometheus",
    description=(
        "The newest snapshot, which all API processes share; `pointsman_snapshot_age_seconds` says how old it is. While"
        " the database is away there is none. Of one that nobody renews the gauges are absent, and the counters stay."
    ),
    response_class=Response,
    responses=problem_responses(InvalidRequest)
    | {
        200: {
            "description": "Prometheus text, or OpenMetrics when asked for; compressed with gzip when asked for.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
async def get_prometheus_metrics(request: Request, parts: GivenParts) -> Response:
    """The snapshot that is kept, and what this process knows by itself."""
    _, content_type = choose_encoder(request.headers.get("accept", ""))
    openmetrics = content_type.startswith(_OPENMETRICS)
    found = await _newest(parts.exposed)
    own = text_of(own_families(found))
    if openmetrics:
        own = as_openmetrics(own) + "# EOF\n"
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    shared = None if found is None else await parts.exposed.encoded(found, openmetrics=openmetrics)
    if shared is None:
        return Response(own, headers=headers)
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return Response(shared.compressed_with(own.encode()), headers=headers)
    return Response(shared.plain + own.encode(), headers=headers)


def own_families(found: Exposed | None) -> Iterator[Metric]:
    """What the process that is asked says by itself. ``found`` is its snapshot; None: the database does not answer."""
    yield _gauge("database_up", "1 when the database answers the process that was asked.", float(found is not None))
    build = GaugeMetricFamily(
        "pointsman_build_info", "Always 1: the release of the process that was asked.", labels=["version", "python"]
    )
    build.add_metric([RELEASE, platform.python_version()], 1.0)
    yield build
    if found is None or not found.number:
        return
    yield _gauge("snapshot_age_seconds", "Since the other figures were gathered.", found.age_seconds)
    if found.counted_seconds is not None:
        yield _gauge("tally_age_seconds", "Since the counters of tasks were summed up.", found.counted_seconds)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pointsman_{name}", text, value=round(value, 3))


async def _newest(watch: ExposedWatch) -> Exposed | None:
    """None: the database does not answer. Number 0: there is none yet."""
    try:
        return await watch.read() or Exposed(0, 0.0, None, None)
    except (DatabaseAway, ExpectedFault, NotInTime, StatementRefused) as error:
        log.info("the metrics are not known now", reason=f"{type(error).__name__}: {error}")
        return None


def _takes_gzip(accept: str) -> bool:
    for one in accept.split(","):
        coding, *parameters = (word.strip().lower() for word in one.split(";"))
        if coding in ("gzip", "*"):
            return not any(word.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for word in parameters)
    return False
