"""Spans of OpenTelemetry, as both sides make them. Loaded only where tracing is on: it needs the extra ``otel``.

What happens to a task is a span each: submit, dispatch, attempt, record. Each links to the one before it that it knows,
and is its child as well while that lies not far back: a trace shows one piece of work, and no wait of hours.
Exporter, sampler and limits are those of the standard variables ``OTEL_*``.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pointsman_contract import RELEASE

TOGETHER_SECONDS = 60.0
"""So long after its submission what happens to a task belongs to the trace of that."""
_CLOSE_SECONDS = 2.0
_MOST_LINKS = 128
"""What the SDK keeps of a span by default."""
_HEADER = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


class Spans:
    """Makes spans and hands them to the collector, in a thread of its own. To be made after a fork."""

    def __init__(self, name: str, tell: Callable[[str | None], None]) -> None:
        """``name``: of the service, unless ``OTEL_SERVICE_NAME`` says another. ``tell`` is told once why the collector
        takes no spans, and None once it does again.
        """
        # It would say so of every batch, and of every span that finds no room.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self.provider = TracerProvider(resource=_resource(name), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(_Exporter(tell)))
        self._tracer = self.provider.get_tracer("pointsman", RELEASE)

    def close(self) -> None:
        """Hand over what is left, for two seconds at most."""
        ending = threading.Thread(target=self.provider.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)

    def within(
        self, name: str, kind: str, attributes: Mapping[str, Any], links: Iterable[str | None] = (), parent: Any = None
    ) -> AbstractContextManager[Any]:
        """A span for the length of a block, current in it; ``parent``: a context, by default what is current."""
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=trace.SpanKind[kind],
            attributes=attributes,
            links=_links(contexts(links)),
            # An answer that refuses is no error of ours, and a message may hold what nobody else is to see.
            record_exception=False,
            set_status_on_exception=False,
        )
        return span

    def after(
        self, name: str, kind: str, attributes: Mapping[str, Any], before: Sequence[tuple[str, str | None]]
    ) -> AbstractContextManager[Any]:
        """A span for the length of a block that is about tasks, each with the ``traceparent`` of what came before. It
        links to all of them, and is the child of one that stands alone and was submitted lately; None of them traced:
        no span.
        """
        known = contexts(traceparent for _, traceparent in before)
        if not known:
            return nullcontext()
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name,
            context=_parent(known, before[0][0]) if len(before) == 1 else trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind[kind],
            attributes=attributes,
            links=_links(known),
            record_exception=False,
            set_status_on_exception=False,
        )
        return span

    def begun(self, name: str, kind: str, attributes: Mapping[str, Any], task_id: str, before: str | None) -> Any:
        """A span about one task that somebody else ends; as ``after``, but without a trace before it begins one."""
        known = contexts([before])
        return self._tracer.start_span(
            name,
            context=_parent(known, task_id) if known else trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind[kind],
            attributes=attributes,
            links=_links(known),
        )


def contexts(traceparents: Iterable[str | None]) -> list[Any]:
    """The span contexts of those that are sampled, each once, as many as a span may link to."""
    found = {}
    for traceparent in traceparents:
        if traceparent is None:
            continue
        context = trace.get_current_span(_PROPAGATOR.extract({_HEADER: traceparent})).get_span_context()
        if context.is_valid and context.trace_flags.sampled:
            found[context.span_id] = context
        if len(found) == _MOST_LINKS:
            break
    return list(found.values())


def traceparent_of(span: Any) -> str | None:
    """The ``traceparent`` of what follows a span; None of one that is none."""
    carried: dict[str, str] = {}
    _PROPAGATOR.inject(carried, trace.set_span_in_context(span))
    return carried.get(_HEADER)


def context_of(traceparent: str | None) -> Any:
    """What a span that is caused by ``traceparent`` is the child of."""
    return _PROPAGATOR.extract({} if traceparent is None else {_HEADER: traceparent})


def ids_of_current() -> dict[str, str]:
    """``trace_id`` and ``span_id`` of the span in which this runs; empty outside of any."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


def current() -> Any:
    """The span in which this runs."""
    return trace.get_current_span()


def succeed(span: Any) -> None:
    """Mark a span as no error, whatever is said of it later."""
    span.set_status(trace.StatusCode.OK)


def fail(span: Any, error_type: str) -> None:
    """Mark a span as one that ended in an error, by its type alone."""
    span.set_attribute("error.type", error_type)
    span.set_status(trace.StatusCode.ERROR)


def submitted_at(task_id: str) -> float:
    """When a task was submitted, in Unix seconds: its id begins with that."""
    return int(task_id[:8] + task_id[9:13], 16) / 1000


def _parent(known: Sequence[Any], task_id: str) -> Any:
    lately = time.time() - submitted_at(task_id) < TOGETHER_SECONDS
    return trace.set_span_in_context(trace.NonRecordingSpan(known[0]) if lately else trace.INVALID_SPAN)


def _links(known: Iterable[Any]) -> list[Any]:
    return [trace.Link(context) for context in known]


def _resource(name: str) -> Any:
    ours = {
        "service.namespace": "pointsman",
        "service.version": RELEASE,
        "service.instance.id": str(uuid4()),
        "process.pid": os.getpid(),
    }
    found = Resource(ours).merge(Resource.create())
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: name}))
    return found


class _Exporter:
    """OTLP over HTTP, that says once when the collector is away and once when it is back."""

    def __init__(self, tell: Callable[[str | None], None]) -> None:
        self._exporter = OTLPSpanExporter()
        self._tell = tell
        self._is_away = False

    def export(self, spans: Sequence[Any]) -> Any:
        reason = "it refuses them, or does not answer"
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        is_away = result is not SpanExportResult.SUCCESS
        if is_away != self._is_away:
            self._is_away = is_away
            self._tell(reason if is_away else None)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))
