"""Spans without a collector, and processes without spans."""

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import uuid_utils

from pointsman_contract import tracing
from pointsman_contract.tracing import Spans
from pointsman_service.embedded.ports import free_port
from tests.stand.environment import ROOT

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What is said of a collector that is away."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    return []


def test_collector_that_is_away_is_told_of_once_and_keeps_nobody(told: list[str | None]) -> None:
    reached = threading.Event()

    def tell(reason: str | None) -> None:
        told.append(reason)
        reached.set()

    spans = Spans("test", tell)
    began = time.monotonic()
    for _ in range(3):
        for _ in range(5000):
            with spans.within("a", "INTERNAL", {}):
                pass
        assert reached.wait(10)
    spans.close()
    assert time.monotonic() - began < 10
    assert len(told) == 1
    assert told[0]
    assert len([thread for thread in threading.enumerate() if "Otel" in thread.name]) <= 1


def test_what_follows_within_a_minute_is_of_the_same_trace_and_links_to_it(told: list[str | None]) -> None:
    spans = Spans("test", told.append)
    now = str(uuid_utils.uuid7())
    moment = f"{int((time.time() - 61) * 1000):012x}"
    old = f"{moment[:8]}-{moment[8:]}{now[13:]}"
    assert abs(tracing.submitted_at(now) - time.time()) < 5
    for task_id, is_child in ((now, True), (old, False)):
        span = spans.begun("attempt", "CONSUMER", {}, task_id, TRACEPARENT)
        assert [f"{link.context.span_id:016x}" for link in span.links] == ["b7ad6b7169203331"]
        assert (f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c") is is_child
        assert (span.parent is not None) is is_child
    spans.close()


def test_unsampled_and_unreadable_contexts_are_no_links(told: list[str | None]) -> None:
    assert tracing.contexts([None, "nonsense", TRACEPARENT[:-2] + "00", TRACEPARENT, TRACEPARENT]) != []
    assert len(tracing.contexts([TRACEPARENT, TRACEPARENT])) == 1
    assert tracing.contexts([None, "nonsense", TRACEPARENT[:-2] + "00"]) == []


@pytest.mark.parametrize(
    "loads",
    ["pointsman_service.app.process, pointsman_service.app.application", "pointsman.app, pointsman.run.child"],
)
def test_nothing_of_tracing_is_loaded_while_it_is_off(loads: str) -> None:
    # FastAPI and redis load other parts of it by themselves.
    ours = "('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'pointsman_contract.tracing')"
    asked = f"[name for name in sys.modules if name.startswith({ours})]"
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys, {loads}; print({asked})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_settings_of_the_standard_say_what_the_process_is_called(
    told: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(**environment: str) -> Any:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        spans = Spans("pointsman", told.append)
        spans.close()
        return spans.provider.resource.attributes

    assert called()["service.name"] == "pointsman"
    assert called(OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop,a=b")["service.namespace"] == "shop"
    assert called(OTEL_SERVICE_NAME="orders")["service.name"] == "orders"


def test_tracing_without_its_extra_says_what_to_install() -> None:
    asked = """
import sys
sys.modules["opentelemetry.sdk"] = None
from pointsman.spans import spans_of_process
from pointsman_service.app.tracing import make_tracing
from pointsman_service.settings import Settings
for make in (lambda: make_tracing(Settings(tracing=True), ["api"]), lambda: spans_of_process(on=True)):
    try:
        make()
    except Exception as error:
        print(type(error).__name__, error)
"""
    ended = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    service, worker = ended.stdout.splitlines()
    assert service.startswith("BadConfiguration")
    assert "pip install 'pointsman-service[otel]'" in service
    assert worker.startswith("ExtraMissing")
    assert "pip install 'pointsman[otel]'" in worker
