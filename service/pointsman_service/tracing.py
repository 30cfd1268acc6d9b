"""The spans of the control plane. Made only where ``tracing`` is on; everybody else holds None instead."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from pointsman_service import telemetry
from pointsman_service.telemetry import TELEMETRY_OFF, logger

log = logger(__name__)

_HEADER = b"traceparent"
_SYSTEM = {"messaging.system": "redis"}
_UNTRACED = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
"""Whoever asks for these does so every few seconds."""
_SIGN_IN = "/sign-in/issuer/back"


class Refusals:
    """ASGI, inside of FastAPI: to it whatever raises is an error, and what stands before it answers refusals."""

    def __init__(self, application: Any, tracing: "Tracing") -> None:
        self._application = application
        self._tracing = tracing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        try:
            await self._application(scope, receive, send)
        except Exception as error:
            if scope["type"] == "http":
                self._tracing.answered(error)
            raise


class Message(Protocol):
    """What is published of one task."""

    @property
    def task_id(self) -> str:
        """Its id."""
        ...

    @property
    def queue(self) -> str:
        """Where it goes."""
        ...

    @property
    def traceparent(self) -> str | None:
        """That of its submission."""
        ...


class Tracing:
    """Spans of requests, submissions, sendings and recordings."""

    def __init__(self, name: str, status_of: Callable[[Exception], int]) -> None:
        """``name``: of the process in traces. ``status_of``: what an error is answered with. Raises ``ImportError``
        without the extra.
        """
        # Here, for it loads what only the extra brings.
        from pointsman_contract import tracing

        self._lib = tracing
        self._spans = tracing.Spans(name, _say)
        self._status_of = status_of
        telemetry.more_fields = tracing.ids_of_current

    def close(self) -> None:
        """Hand over what is left, for two seconds at most."""
        telemetry.more_fields = None
        self._spans.close()

    def telemetry(self) -> dict[str, Any]:
        """What FastAPI makes the spans of its routes with."""
        return TELEMETRY_OFF | {"tracing": True, "tracer_provider": self._spans.provider, "exclude": _is_untraced}

    def follow(self, application: Any) -> None:
        """Tell refusals from errors in the spans of its routes."""
        application.add_middleware(Refusals, tracing=self)

    @contextmanager
    def request(self, scope: Any) -> Iterator[Any]:
        """The span of a request that no route of FastAPI answers, as FastAPI's own would be."""
        route = scope["path"]
        attributes = {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": route,
            "url.scheme": scope.get("scheme", "http"),
        }
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), None)
        with self._spans.within(
            f"{scope['method']} {route}", "SERVER", attributes, parent=self._lib.context_of(given)
        ) as span:
            try:
                yield span
            except Exception as error:
                self.answered(error)
                raise

    def answered(self, error: Exception) -> None:
        """Say what the current request is answered that an error ends. One that is refused is no error of ours."""
        span = self._lib.current()
        status = self._status_of(error)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._lib.fail(span, type(error).__name__)
        else:
            self._lib.succeed(span)

    @contextmanager
    def submission(self, scope: Any, again: str | None = None) -> Iterator[Any]:
        """The span of a submission. Its ``traceparent`` takes the place of the caller's in ``scope``: what is stored
        with the task leads here. ``again``: that of the task that is run again.
        """
        attributes = _SYSTEM | {"messaging.operation.type": "create", "messaging.operation.name": "submit"}
        with self._spans.within("submit", "PRODUCER", attributes, [again]) as span:
            ours = self._lib.traceparent_of(span)
            if ours is not None:
                others = [header for header in scope["headers"] if header[0] != _HEADER]
                scope["headers"] = [*others, (_HEADER, ours.encode())]
            yield span

    @staticmethod
    def describe(span: Any, task_id: str, task_type: str, queue: str) -> None:
        """Say what a submission became."""
        span.update_name(f"submit {queue}")
        span.set_attributes(
            {"messaging.message.id": task_id, "messaging.destination.name": queue, "pointsman.task_type": task_type}
        )

    def sending(self, messages: Sequence[Message]) -> AbstractContextManager[Any]:
        """The span of messages that are published together; none when none of their tasks is traced."""
        queues = sorted({message.queue for message in messages})
        attributes = _SYSTEM | {"messaging.operation.type": "send", "messaging.operation.name": "dispatch"}
        attributes |= _counted([message.task_id for message in messages])
        if len(queues) == 1:
            attributes["messaging.destination.name"] = queues[0]
        name = f"dispatch {queues[0]}" if len(queues) == 1 else "dispatch"
        before = [(message.task_id, message.traceparent) for message in messages]
        return self._spans.after(name, "PRODUCER", attributes, before)

    def recording(self, ended: Sequence[tuple[str, str | None]]) -> AbstractContextManager[Any]:
        """The span of one transaction with what became of these tasks, each with the ``traceparent`` of its attempt."""
        attributes = _SYSTEM | {"messaging.operation.type": "settle", "messaging.operation.name": "record"}
        return self._spans.after("record", "CONSUMER", attributes | _counted([task for task, _ in ended]), ended)


def _is_untraced(scope: Any) -> bool:
    # In the address of who comes back from an issuer stands a code, which is a secret until it is used.
    return scope["path"] in _UNTRACED or scope["path"].endswith(_SIGN_IN)


def _counted(tasks: Sequence[str]) -> dict[str, Any]:
    if len(tasks) == 1:
        return {"messaging.message.id": tasks[0]}
    return {"messaging.batch.message_count": len(tasks)}


def _say(reason: str | None) -> None:
    if reason is None:
        log.info("the collector takes spans again")
    else:
        log.warning("spans are dropped: the collector does not take them", reason=reason)
