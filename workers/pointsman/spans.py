"""The span of an attempt. One maker a process, made after the fork; None while tracing is off."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pointsman.extras import require

if TYPE_CHECKING:
    from pointsman_contract.tracing import Spans

logger = logging.getLogger(__name__)


class AttemptSpans:
    """Makes the spans of attempts. What goes wrong with one is logged: no attempt fails for it."""

    def __init__(self) -> None:
        from opentelemetry import trace

        from pointsman_contract import tracing

        self._tracing = tracing
        self._trace = trace
        self._spans: Spans = tracing.Spans("pointsman-worker", _say)
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            # What a body or a library of it makes belongs to the attempt.
            trace.set_tracer_provider(self._spans.provider)

    def close(self) -> None:
        """Hand over what is left, for two seconds at most."""
        self._spans.close()

    def begin(self, task_id: str, attempt: int, task_type: str, queue: str, traceparent: str | None) -> Any:
        """The span of an attempt that begins; None when there is none."""
        attributes = {
            "messaging.system": "redis",
            "messaging.operation.type": "process",
            "messaging.operation.name": "attempt",
            "messaging.destination.name": queue,
            "messaging.message.id": task_id,
            "pointsman.task_type": task_type,
            "pointsman.attempt": attempt,
        }
        try:
            return self._spans.begun(f"attempt {queue}", "CONSUMER", attributes, task_id, traceparent)
        except Exception:
            logger.exception("the span of task %s could not be begun", task_id)
            return None

    @contextmanager
    def current(self, span: Any) -> Iterator[None]:
        """Make what is done in a block a part of the attempt."""
        with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield

    def traceparent_of(self, span: Any) -> str | None:
        """What the outcome says of its attempt."""
        return self._tracing.traceparent_of(span)

    def fields_of(self, span: Any) -> Mapping[str, str]:
        """What a log line says of it."""
        context = span.get_span_context()
        return {"trace_id": self._trace.format_trace_id(context.trace_id)} if context.is_valid else {}

    def end(self, span: Any, ending: Mapping[str, Any]) -> None:
        """The attempt ended so."""
        try:
            if "error" in ending:
                self._tracing.fail(span, ending["error"]["type"])
            if "retry_in_seconds" in ending:
                span.set_attribute("pointsman.retry_in_seconds", ending["retry_in_seconds"])
            span.end()
        except Exception:
            logger.exception("the span of an attempt could not be ended")


_turn = threading.Lock()
_made: tuple[int, AttemptSpans | None] = (0, None)


def spans_of_process(*, on: bool) -> AttemptSpans | None:
    """Those of this process, whichever thread asks; None unless tracing is ``on``. Raises ``ExtraMissing``."""
    global _made
    if not on:
        return None
    with _turn:
        if _made[0] != os.getpid():
            require("POINTSMAN_TRACING", "otel")
            _made = (os.getpid(), AttemptSpans())
        return _made[1]


def close_spans() -> None:
    """The process ends: hand over what is left."""
    pid, spans = _made
    if spans is not None and pid == os.getpid():
        spans.close()


def _say(reason: str | None) -> None:
    if reason is None:
        logger.info("the collector takes spans again")
    else:
        logger.warning("spans are dropped: the collector does not take them: %s", reason)
