"""What stands beneath the sentence of a cause: numbers that agree, and names that say something."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from pointsman_service.alert.kinds import Rule
from pointsman_service.now.composing import compose
from pointsman_service.now.facts import Example, Facts, Failure, Group, Tripped
from pointsman_service.now.picture import said
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction
from tests.unit.now.moments import GROUP, NOW, TASK, ago, alert, links, only, queue, whole

BANK = "dependency:bank"
OTHER = UUID("5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b78")


def bank(**more: Any) -> Tripped:
    fields: dict[str, Any] = {
        "scope": "dependency",
        "name": "bank",
        "seen": "open",
        "since": ago(20),
        "error": Failure("HTTPError", "503", TASK, 5),
        "retry_at": ago(-12),
        "held": 0,
    }
    return Tripped(**(fields | more))


def test_tasks_of_the_one_type_that_is_held_are_as_many_as_are_held() -> None:
    # Types are asked for less often.
    cause = only(compose(Facts(NOW, breakers=[bank(held=622, held_types={"charge": 500}, held_since=ago(19))])))

    assert said(cause.consequences[0]).startswith("622 tasks are held (622 charge), the first for 19 s;")


def also(*keys: str) -> Any:
    opened = alert(Rule.BREAKER_OPEN, BANK, link="/v1/breakers/dependency/bank", also=keys)
    return only(compose(Facts(NOW, alerts=[opened], breakers=[bank()])))


def test_an_error_that_a_cause_brought_about_is_a_link_and_no_id() -> None:
    cause = also(f"error_new:{BANK}#{GROUP}")

    assert said(cause.consequences[-1]) == "Because of it a new error has appeared."
    assert ("error", str(GROUP)) in links(cause)


def test_several_errors_that_a_cause_brought_about_lead_to_their_list() -> None:
    cause = also(f"error_back:{BANK}#{GROUP}", f"error_back:{BANK}#{OTHER}", f"error_new:{BANK}#{OTHER}")

    assert [said(one) for one in cause.consequences[-2:]] == [
        "Because of it an earlier error is back.",
        "Because of it a new error has appeared.",
    ]
    assert {("errors", None), ("error", str(OTHER))} <= links(cause)


def test_a_breaker_that_has_closed_is_not_told_to_be_open_while_its_alert_lasts() -> None:
    opened = alert(Rule.BREAKER_OPEN, BANK, link="/v1/breakers/dependency/bank")
    cause = only(compose(Facts(NOW, alerts=[opened], breakers_in_all=0)))

    assert said(cause.parts) == "bank does not fail any more: its circuit breaker is closed."
    assert ("breaker", BANK) in links(cause)
    # Of more of them than are listed nobody knows that it is none.
    assert said(only(compose(Facts(NOW, alerts=[opened]))).parts) == opened.summary


def test_what_is_over_is_told_as_over_and_what_is_not_known_is_not() -> None:
    def sentence(rule: Rule, **known: Any) -> str:
        return said(only(compose(Facts(NOW, alerts=[alert(rule)], **known))).parts)

    assert sentence(Rule.BROKER_AWAY) == "Redis did not answer; that is over."
    assert sentence(Rule.NO_RECORDER, unled={"recorder": 0.0}) == "No recorder ran; that is over."
    assert sentence(Rule.BROKER_FULL, memory_percent=40) == "Redis was full, and nothing was sent; that is over."
    assert sentence(Rule.BROKER_FULL) == f"The summary of {Rule.BROKER_FULL}."


def test_an_error_that_is_new_is_told_by_its_newest_failure_with_its_place() -> None:
    new = alert(Rule.ERROR_NEW, f"task_type:charge#{GROUP}")
    failure = Failure("builtins.KeyError", "'price_cents'", TASK, 5)
    example = Example("charge", failure, Group(GROUP, ago(60), "shop/orders.py:41", 5))
    facts = Facts(NOW, alerts=[new], examples={str(GROUP): example})
    cause = only(compose(facts))

    assert said(cause.parts).startswith("charge fails with a new error: KeyError: 'price_cents' at shop/orders.py:41 ")
    assert said(cause.consequences[0]) == "It has failed this way 5 times within the hour."
    assert ("error", str(GROUP)) in links(cause)
    assert "'price_cents'" not in whole(only(compose(facts.without_payloads())))


def test_a_queue_that_is_within_its_target_again_is_not_told_to_be_late_while_its_alert_lasts() -> None:
    def sentence(*foreseen: Prediction, **known: Any) -> str:
        of_email = {"email": foreseen[0]} if foreseen else {}
        facts = Facts(NOW, alerts=[alert(Rule.BACKLOG_OLD, "email")], queues=[queue("email", **known)])
        return said(only(compose(replace(facts, predictions=of_email))).parts)

    soon = Prediction(0.2, 1.0, Basis.FLOW, Confidence.GOOD, None)
    assert sentence(soon) == "email is within the target again."
    assert sentence(soon, oldest_wait_seconds=50.0, depth=3).startswith("email: 3 tasks wait, ")
    assert sentence(replace(soon, p95_seconds=99.0)) == "email: nothing waits now, none come and none go."
    assert sentence() == "email: nothing waits now, none come and none go."


def test_several_queues_that_are_well_again_are_not_told_to_be_late_or_without_a_worker() -> None:
    soon = Prediction(0.2, 1.0, Basis.FLOW, Confidence.GOOD, None)

    def cause(rule: Rule, p95_seconds: float = 1.0, subject: str = "", **known: Any) -> Any:
        two = [queue(name, **known) for name in ("email", "reports")]
        foreseen = {one.name: replace(soon, p95_seconds=p95_seconds) for one in two}
        return only(compose(Facts(NOW, alerts=[alert(rule, subject)], queues=two, predictions=foreseen)))

    for rule in (Rule.BACKLOG_OLD, Rule.SLA_AT_RISK):
        assert said(cause(rule).parts) == "Every queue is within its target again."
        assert said(cause(rule, 99.0).parts) == f"The summary of {rule}."
    assert said(cause(Rule.NO_WORKER).parts) == "Every queue has a live worker again."
    assert said(cause(Rule.NO_WORKER, consumers=0).parts) == "No task waits on a queue without a live worker any more."
    assert said(cause(Rule.NO_WORKER, consumers=None).parts) == "The summary of no_worker."
    # Of starts that missed their target nothing is taken back; but nobody need start workers now.
    burnt = cause(Rule.SLA_FAST_BURN, subject="email")
    assert whole(burnt).split("\n") == [
        "The summary of sla_fast_burn.",
        "email is within its target now.",
        "Its alert ends once few starts of the last five minutes have missed it.",
        "- Nothing, unless it comes back.",
    ]
    assert "within" not in whole(cause(Rule.SLA_FAST_BURN, 99.0, subject="email"))


def test_what_a_cause_led_to_is_told_as_over_where_it_is() -> None:
    soon = Prediction(0.2, 1.0, Basis.FLOW, Confidence.GOOD, None)
    opened = alert(Rule.BREAKER_OPEN, BANK, also=("backlog_old:email", "backlog_old:reports", "no_worker:email"))
    late = queue("reports", depth=1, oldest_wait_seconds=50.0)
    facts = Facts(NOW, alerts=[opened], breakers=[bank()], queues=[queue("email"), late], predictions={"email": soon})

    assert [said(one) for one in only(compose(facts)).consequences if "Because" in said(one)] == [
        "Because of it no worker was seen: email; that is over.",
        "Because of it tasks wait for longer than their target: reports.",
        "Because of it tasks waited for longer than their target: email; that is over.",
    ]


def test_a_queue_that_has_a_worker_again_is_not_told_to_have_none() -> None:
    def sentence(consumers: int | None) -> str:
        facts = Facts(NOW, alerts=[alert(Rule.NO_WORKER, "email")], queues=[queue("email", consumers=consumers)])
        return said(only(compose(facts)).parts)

    assert sentence(2) == "email has a live worker again."
    assert sentence(0).startswith("email has no live worker since ")
    assert sentence(None).startswith("email has no live worker since ")
