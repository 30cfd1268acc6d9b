"""What a collector is told of one task: a receiver of OTLP over HTTP, and a real installation with tracing on."""

import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = pytest.mark.acceptance

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNKNOWN = "01a20271-c811-71a5-99c0-510fde22a57d"
CALLERS_TRACE, CALLERS_SPAN = CALLER.split("-")[1:3]


class Span(NamedTuple):
    """One span as it was received."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    is_error: bool
    service: str


class Collector:
    """Takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                spans.extend(_spans_of(ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def find(self, name: str, **attributes: Any) -> list[Span]:
        """Those of a name that begins so, with these attributes, dots written as underscores."""
        return [
            span
            for span in self.spans
            if span.name.startswith(name)
            and all(span.attributes.get(key.replace("__", ".")) == value for key, value in attributes.items())
        ]


def _spans_of(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        named = {one.key: one.value.string_value for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    tuple(link.span_id.hex() for link in span.links),
                    {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes},
                    span.status.code == 2,
                    named["service.name"],
                )


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture
async def traced(
    request: pytest.FixtureRequest, database_url: str, own_valkey: ValkeyServer, tmp_path: Path, collector: Collector
) -> AsyncIterator[Stack]:
    """Hands spans over every so many milliseconds."""
    variables = {
        "POINTSMAN_TRACING": "true",
        "POINTSMAN_LOG_JSON": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": getattr(request, "param", "100"),
    }
    async with Stack(database_url, own_valkey, tmp_path, variables=variables) as running:
        yield running


async def test_one_trace_leads_from_the_caller_over_two_attempts_to_a_replay(
    traced: Stack, collector: Collector
) -> None:
    task = {"task_type": "ledger.flaky", "args": [9], "max_attempts": 2}
    await traced.http.get(f"/v1/tasks/{UNKNOWN}")
    await traced.http.post("/v1/tasks", json={"task_type": "nobody.knows"})
    answer = await traced.http.post("/v1/tasks", json=task, headers={"traceparent": CALLER})
    first = answer.json()["id"]
    await traced.finished(first)
    again = (await traced.http.post(f"/v1/tasks/{first}/retry", json={})).json()["id"]
    await traced.finished(again)

    async def told() -> bool:
        assert len(collector.find("attempt", messaging__message__id=again)) == 2
        recorded = {link for span in collector.find("record") for link in span.links}
        assert {span.id for span in collector.find("attempt")} <= recorded
        assert len(collector.find("submit ")) == 2
        assert collector.find("GET /v1/tasks/{task_id}", http__response__status_code=404)
        return len([link for span in collector.find("dispatch") for link in span.links]) >= 2

    await until(told, "every span")

    for name, status in (("GET /v1/tasks/{task_id}", 404), ("POST /v1/tasks", 422)):
        (refused,) = collector.find(name, http__response__status_code=status)
        assert not refused.is_error
    (request,) = collector.find("POST /v1/tasks", http__route="/v1/tasks", http__response__status_code=202)
    assert (request.trace, request.parent, request.kind) == (CALLERS_TRACE, CALLERS_SPAN, 2)
    assert request.attributes["http.response.status_code"] == 202
    (submit,) = collector.find("submit", messaging__message__id=first)
    assert (submit.trace, submit.parent, submit.kind) == (CALLERS_TRACE, request.id, 4)
    assert submit.attributes["messaging.system"] == "redis"
    assert submit.name == f"submit {submit.attributes['messaging.destination.name']}"
    ((stored,),) = [row.values() for row in await traced.rows("SELECT traceparent FROM task WHERE id = :id", id=first)]
    assert stored == f"00-{CALLERS_TRACE}-{submit.id}-01"

    attempts = collector.find("attempt", messaging__message__id=first)
    assert [span.attributes["pointsman.attempt"] for span in attempts] == [1, 2]
    for span in attempts:
        assert (span.trace, span.kind, span.service) == (CALLERS_TRACE, 5, "pointsman-worker")
        assert span.links == (submit.id,)
        assert span.is_error
        assert span.attributes["pointsman.task_type"] == "ledger.flaky"
    assert any(submit.id in span.links for span in collector.find("dispatch"))

    (asked,) = collector.find("POST /v1/tasks/{task_id}/retry")
    (second,) = collector.find("submit", messaging__message__id=again)
    assert (second.trace, second.parent) == (asked.trace, asked.id)
    assert second.links == (submit.id,)
    for span in collector.find("attempt", messaging__message__id=again):
        assert (span.trace, span.links) == (second.trace, (second.id,))

    lines = [json.loads(line) for line in traced.worker.last_lines().splitlines() if line.startswith("{")]
    assert {line.get("trace_id") for line in lines if line.get("task_id") == first} == {CALLERS_TRACE}
    assert {line.get("trace_id") for line in lines if line.get("task_id") == again} == {second.trace}


@pytest.mark.parametrize("traced", ["600000"], indirect=True)
async def test_a_batch_is_one_submission_and_the_process_hands_over_what_is_left(
    traced: Stack, collector: Collector
) -> None:
    items = [{"task_type": "ledger.write"} for _ in range(5)]
    answer = await traced.http.post("/v1/tasks/batch", json={"tasks": items})
    assert answer.status_code == 202
    for result in answer.json()["results"]:
        await traced.finished(result["task"]["id"])
    await traced.worker.stop()
    await traced.service.stop()
    (submit,) = collector.find("submit")
    assert submit.attributes["messaging.batch.message_count"] == 5
    attempts = collector.find("attempt")
    assert len(attempts) == 5
    assert {span.links for span in attempts} == {(submit.id,)}
    assert not any(span.is_error for span in attempts)
    assert {link for span in collector.find("record") for link in span.links} == {span.id for span in attempts}
