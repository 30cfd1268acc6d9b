"""What a collector is told of one task: a receiver of OTLP over HTTP, and a real installation with tracing on."""

import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import Stack

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


class Story(NamedTuple):
    """What was done, and what was told of it once every process had ended."""

    collector: Collector
    first: str
    again: str
    batch: list[str]
    stored: str
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
async def story(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Story]:
    """A task that fails twice and is run again, a batch, and two refusals. Spans are handed over at the end alone."""
    directory = tmp_path_factory.mktemp("traced")
    database = postgres.start().create_database(template=migrated_template)
    collector = Collector()
    variables = {
        "POINTSMAN_TRACING": "true",
        "POINTSMAN_LOG_JSON": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }
    try:
        with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
            async with Stack(database, valkey, directory, variables=variables) as stack:
                yield await _told(stack, collector)
    finally:
        collector.close()


async def _told(stack: Stack, collector: Collector) -> Story:
    await stack.http.get(f"/v1/tasks/{UNKNOWN}")
    await stack.http.post("/v1/tasks", json={"task_type": "nobody.knows"})
    items = [{"task_type": "ledger.write"} for _ in range(5)]
    results = (await stack.http.post("/v1/tasks/batch", json={"tasks": items})).json()["results"]
    batch = [str(result["task"]["id"]) for result in results]
    task = {"task_type": "ledger.flaky", "args": [9], "max_attempts": 2}
    first = (await stack.http.post("/v1/tasks", json=task, headers={"traceparent": CALLER})).json()["id"]
    await stack.finished(first)
    again = (await stack.http.post(f"/v1/tasks/{first}/retry", json={})).json()["id"]
    for one in (*batch, again):
        await stack.finished(one)
    (row,) = await stack.rows("SELECT traceparent FROM task WHERE id = :id", id=first)
    await stack.worker.stop()
    await stack.service.stop()
    lines = [json.loads(line) for line in stack.worker.last_lines().splitlines() if line.startswith("{")]
    return Story(collector, first, again, batch, row["traceparent"], lines)


def test_one_trace_leads_from_the_caller_over_two_attempts(story: Story) -> None:
    find = story.collector.find
    (request,) = find("POST /v1/tasks", http__route="/v1/tasks", http__response__status_code=202)
    assert (request.trace, request.parent, request.kind) == (CALLERS_TRACE, CALLERS_SPAN, 2)
    (submit,) = find("submit", messaging__message__id=story.first)
    assert (submit.trace, submit.parent, submit.kind) == (CALLERS_TRACE, request.id, 4)
    assert submit.attributes["messaging.system"] == "redis"
    assert submit.name == f"submit {submit.attributes['messaging.destination.name']}"
    assert story.stored == f"00-{CALLERS_TRACE}-{submit.id}-01"
    assert any(submit.id in span.links for span in find("dispatch"))
    # Two processes tell of them, each when it gets to it.
    attempts = sorted(
        find("attempt", messaging__message__id=story.first), key=lambda span: int(span.attributes["pointsman.attempt"])
    )
    assert [span.attributes["pointsman.attempt"] for span in attempts] == [1, 2]
    for span in attempts:
        assert (span.trace, span.kind, span.service) == (CALLERS_TRACE, 5, "pointsman-worker")
        assert span.links == (submit.id,)
        assert span.is_error
        assert span.attributes["pointsman.task_type"] == "ledger.flaky"


def test_replay_links_to_the_submission_of_what_it_runs_again(story: Story) -> None:
    find = story.collector.find
    (asked,) = find("POST /v1/tasks/{task_id}/retry")
    (first,) = find("submit", messaging__message__id=story.first)
    (second,) = find("submit", messaging__message__id=story.again)
    assert (second.trace, second.parent, second.links) == (asked.trace, asked.id, (first.id,))
    attempts = find("attempt", messaging__message__id=story.again)
    assert [(span.trace, span.links) for span in attempts] == [(second.trace, (second.id,))] * 2


def test_batch_is_one_submission(story: Story) -> None:
    (submit,) = story.collector.find("submit", messaging__batch__message_count=5)
    attempts = [span for task in story.batch for span in story.collector.find("attempt", messaging__message__id=task)]
    assert len(attempts) == 5
    assert {span.links for span in attempts} == {(submit.id,)}
    assert not any(span.is_error for span in attempts)


def test_recording_links_to_every_attempt(story: Story) -> None:
    attempts = {span.id for span in story.collector.find("attempt")}
    assert len(attempts) == 9
    assert {link for span in story.collector.find("record") for link in span.links} == attempts


def test_what_is_refused_is_no_error_of_ours(story: Story) -> None:
    for name, status in (("GET /v1/tasks/{task_id}", 404), ("POST /v1/tasks", 422)):
        refused = story.collector.find(name, http__response__status_code=status)
        assert [span.is_error for span in refused] == [False]


def test_lines_of_a_worker_name_the_trace_of_their_task(story: Story) -> None:
    (second,) = story.collector.find("submit", messaging__message__id=story.again)
    for task, trace in ((story.first, CALLERS_TRACE), (story.again, second.trace)):
        assert {line.get("trace_id") for line in story.lines if line.get("task_id") == task} == {trace}
