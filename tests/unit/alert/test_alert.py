from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from pointsman_service.alert.alert import alert_of, delivery_of
from pointsman_service.store.alerts.alerts import AlertRow
from pointsman_service.store.alerts.deliveries import DeliveryRow

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = UUID("01a20271-c811-71a5-99c0-510fde22a57d")


def row(**changes: Any) -> AlertRow:
    fields: dict[str, Any] = {
        **dict.fromkeys(("resolved_at", "notified_at", "acked_at", "acked_by", "ack_reason", "silenced_until")),
        **dict.fromkeys(("since", "opened_at", "updated_at"), AT),
        **dict.fromkeys(("key", "rule", "subject", "severity", "summary", "unit", "link"), "worker_lost"),
        "id": ID,
        "also": [],
        "part_of": None,
        "value": 1.0,
        "bound": None,
    }
    return AlertRow(**(fields | changes))


def test_alert_says_what_to_do_by_its_rule() -> None:
    alert = alert_of(row())

    assert alert.next_step
    assert alert.documentation.startswith("docs/")


@pytest.mark.parametrize("rule", ["breaker_open", "breaker_open_long"])
def test_alert_of_a_breaker_says_what_to_do_by_what_it_is_of(rule: str) -> None:
    subjects = ("task_type:charge", "worker:mail@a", "dependency:smtp", "")
    bug, node, called, several = (alert_of(row(rule=rule, subject=subject)) for subject in subjects)

    assert bug.next_step.endswith("roll the task's code back or mend it, and start its workers anew.")
    assert bug.documentation == "docs/troubleshooting.md#a-bug-in-a-task-type"
    assert "node" in node.next_step
    assert called.next_step.endswith("mend what is called.")
    assert several.next_step == called.next_step


def test_alert_of_a_rule_of_another_release_is_read_without_advice() -> None:
    alert = alert_of(row(rule="of_tomorrow"))

    assert (alert.next_step, alert.documentation) == ("", "docs/alerts.md")


def test_alert_says_what_was_wrong_and_with_what() -> None:
    assert alert_of(row(subject="mail@a")).was == "A worker fell silent (mail@a)"
    assert alert_of(row(rule="of_tomorrow", subject="")).was == "of_tomorrow"


def test_alert_is_open_until_it_is_resolved() -> None:
    assert alert_of(row()).is_open
    assert not alert_of(row(resolved_at=AT)).is_open


def test_alert_that_somebody_acknowledged_says_who_and_why() -> None:
    known = alert_of(row(acked_at=AT, acked_by="ada", ack_reason="I call them")).acknowledged

    assert known is not None
    assert (known.at, known.who, known.reason) == (AT, "ada", "I call them")


@pytest.mark.parametrize(("status", "next_at"), [("pending", AT), ("sent", None), ("gave_up", None), ("dropped", None)])
def test_message_is_tried_again_only_while_it_is_pending(status: str, next_at: datetime | None) -> None:
    stored = DeliveryRow(ID, ID, "opened", "on-call", {}, status, 1, AT, None, None, AT, None, 0.0)

    assert delivery_of(stored).next_at == next_at
