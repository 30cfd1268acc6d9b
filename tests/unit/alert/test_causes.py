"""One cause is one alert: tables of what happens, and properties that hold for every table."""

import os
import random
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from pointsman_service.alert.causes import (
    CAUSES,
    LEADS_TO,
    LONGEST_GRACE_SECONDS,
    RANK,
    Of,
    Told,
    grace_seconds,
    sort_out,
    to_fold,
)
from pointsman_service.alert.conditions import Condition, severity_of
from pointsman_service.alert.facts import ErrorNews, LostWorker, QueueFacts, TrippedBreaker
from pointsman_service.alert.kinds import KINDS, Rule, Severity
from pointsman_service.alert.rules import Judgement, judge
from pointsman_service.observe.sla import Burn, Starts
from tests.stand.environment import ROOT
from tests.unit.alert.test_rules import LIMITS, NOW, QUEUE, WELL

_FIRST_SEED = int(os.environ.get("POINTSMAN_ALERT_SEED", "20261128"))
_SEEDS = int(os.environ.get("POINTSMAN_ALERT_SEEDS", "200"))
QUEUES = ("critical", "email", "reports", "maintenance")
LATE = Burn(*[Starts(10, 90)] * 4)


def queues(**changes: Any) -> tuple[QueueFacts, ...]:
    return tuple(replace(QUEUE, name=name, urgent=name == "critical", **changes) for name in QUEUES)


BACKED_UP = replace(WELL, queues=queues(oldest_seconds=40.0), burns=dict.fromkeys(QUEUES, LATE))
"""What an incident looks like from far: every queue is late, and misses its target."""

_BREAKERS = (Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG)
LATE_RULES = (Rule.BACKLOG_OLD, Rule.SLA_AT_RISK, Rule.SLA_FAST_BURN, Rule.SLA_SLOW_BURN)

INCIDENTS = {
    "broker_away": replace(BACKED_UP, broker_up=False, memory_percent=None, recorder_lag_seconds=None),
    "broker_full": replace(BACKED_UP, memory_percent=99, lost_workers=(LostWorker("w@h"),)),
    "no_recorder": replace(BACKED_UP, unled={"recorder": 12.0}, stream_entries=2000),
    "no_dispatcher": replace(
        BACKED_UP, unled={"dispatcher": 12.0}, queues=queues(oldest_seconds=40.0, waiting_seconds=40.0)
    ),
    "no_reconciler": replace(BACKED_UP, unled={"reconciler": 12.0}),
    "recorder_behind": replace(WELL, recorder_lag_seconds=35.0, stream_entries=2000, burns=dict.fromkeys(QUEUES, LATE)),
    "no_worker": replace(
        BACKED_UP,
        queues=queues(oldest_seconds=40.0, consumers=0, quiet_seconds=20.0),
        lost_workers=(LostWorker("w@h"),),
    ),
    "worker_ejected": replace(
        BACKED_UP, queues=queues(oldest_seconds=40.0, consumers=0, quiet_seconds=20.0, kept_off=("w@h",))
    ),
}


def keys_of(judgement: Judgement) -> list[str]:
    return [one.key for one in judgement.conditions if one.certain]


@pytest.mark.parametrize("incident", list(INCIDENTS))
def test_one_cause_is_one_alert_that_names_what_it_leads_to(incident: str) -> None:
    judgement = judge(INCIDENTS[incident], LIMITS)

    assert keys_of(judgement) == [incident]
    (root,) = [one for one in judgement.conditions if one.certain]
    assert severity_of(root) is Severity.PAGE
    assert f"sla_fast_burn:{QUEUES[0]}" in judgement.also[incident]
    assert set(judgement.also[incident]) == {one.key for one in judgement.withheld}


@pytest.mark.parametrize("incident", ["no_recorder", "no_dispatcher", "no_reconciler"])
def test_nothing_false_is_told_while_a_role_may_just_be_replaced(incident: str) -> None:
    facts = INCIDENTS[incident]
    assert facts.unled is not None
    just_now = replace(facts, unled=dict.fromkeys(facts.unled, 1.0))

    assert keys_of(judge(just_now, LIMITS)) == []


def test_nothing_false_is_told_while_a_worker_is_not_known_to_be_dead() -> None:
    facts = replace(BACKED_UP, queues=queues(oldest_seconds=9.0, consumers=2, quiet_seconds=6.0))

    assert keys_of(judge(facts, LIMITS)) == []
    seen_again = replace(facts, queues=queues(oldest_seconds=9.0, consumers=2, quiet_seconds=1.0))
    assert "backlog_old" in keys_of(judge(seen_again, LIMITS))


def test_wait_that_may_be_over_and_is_not_recorded_is_no_backlog() -> None:
    facts = replace(WELL, queues=queues(oldest_seconds=13.0), recorder_lag_seconds=12.5)

    assert judge(facts, LIMITS).conditions == ()
    longer = judge(replace(facts, queues=queues(oldest_seconds=33.0)), LIMITS)
    assert keys_of(longer) == ["backlog_old"]


def test_like_queues_are_one_alert_and_a_page_when_one_of_them_is_urgent() -> None:
    (one,) = judge(replace(WELL, queues=queues(oldest_seconds=6.0)), LIMITS).conditions
    assert (one.key, one.value, severity_of(one)) == ("backlog_old", 4, Severity.PAGE)
    assert one.summary.startswith("On critical, email, maintenance, reports tasks have been due")
    (calm,) = judge(replace(WELL, queues=queues(oldest_seconds=6.0)[1:]), LIMITS).conditions
    assert severity_of(calm) is Severity.TICKET


def test_alert_of_one_queue_is_told_with_the_others_as_soon_as_there_are_any() -> None:
    alone = replace(WELL, queues=queues(oldest_seconds=6.0)[1:2])
    assert keys_of(judge(alone, LIMITS)) == ["backlog_old:email"]
    before = {"backlog_old:email"}
    both = replace(WELL, queues=queues(oldest_seconds=6.0)[1:3])
    assert judge(both, LIMITS, before).folded == {}, "the alert about both is not there yet"
    judgement = judge(both, LIMITS, before | {"backlog_old"})
    assert keys_of(judgement) == ["backlog_old"]
    assert judgement.folded == {"backlog_old:email": "backlog_old"}
    assert keys_of(judge(alone, LIMITS, {"backlog_old"})) == ["backlog_old"], "it does not go back and forth"


def test_queues_without_a_worker_are_named_together_and_so_is_what_happens_to_them() -> None:
    (one,) = judge(replace(WELL, queues=queues(oldest_seconds=1.0, consumers=0, quiet_seconds=20.0)), LIMITS).conditions
    assert one.summary == (
        "No live worker takes tasks from critical, email, maintenance, reports: what is submitted to them is accepted"
        " and waits."
    )


def test_queue_without_a_worker_explains_its_own_wait_only() -> None:
    (email, reports) = queues(oldest_seconds=40.0)[1:3]
    lonely = replace(email, consumers=0, quiet_seconds=20.0)

    assert keys_of(judge(replace(WELL, queues=(lonely, reports)), LIMITS)) == ["no_worker:email", "backlog_old:reports"]
    there = told(Rule.NO_WORKER, "", opened=-30)
    judgement = judge(replace(WELL, queues=(lonely, reports)), LIMITS, {"no_worker"}, [there])
    assert keys_of(judgement) == ["no_worker", "backlog_old:reports"]


def test_queue_that_was_paused_gets_time_to_work_off_what_waited() -> None:
    facts = replace(WELL, queues=queues(oldest_seconds=600.0, resumed_seconds=20.0), burns=dict.fromkeys(QUEUES, LATE))
    assert judge(facts, LIMITS).conditions == ()
    later = replace(facts, queues=queues(oldest_seconds=600.0, resumed_seconds=2000.0))
    assert "backlog_old" in keys_of(judge(later, LIMITS))
    paused = replace(facts, queues=queues(oldest_seconds=600.0, paused=True))
    assert judge(paused, LIMITS).conditions == ()


def told(
    rule: Rule, subject: str = "", *, opened: float, since: float | None = None, resolved: float | None = None
) -> Told:
    """Times are seconds from now; the past is below 0."""
    return Told(
        rule,
        subject,
        KINDS[rule].severity,
        NOW + (opened if since is None else since),
        NOW + opened,
        None if resolved is None else NOW + resolved,
    )


def test_consequence_that_goes_on_after_its_cause_is_told_when_whoever_catches_up_had_time() -> None:
    late = replace(WELL, queues=queues(oldest_seconds=40.0))
    for lasted, grace in ((10, 60), (120, 120), (7200, 900)):
        over = told(Rule.BROKER_AWAY, opened=-5 - lasted, resolved=-5)
        assert keys_of(judge(late, LIMITS, (), [over])) == []
        ago = -grace - 1
        over = told(Rule.BROKER_AWAY, opened=ago - lasted, resolved=ago)
        assert keys_of(judge(late, LIMITS, (), [over])) == ["backlog_old"]


def test_redis_that_is_full_when_it_is_back_is_told_at_once() -> None:
    over = told(Rule.BROKER_AWAY, opened=-7200, resolved=-5)

    assert keys_of(judge(replace(BACKED_UP, memory_percent=92), LIMITS, (), [over])) == ["broker_full"]
    assert keys_of(judge(replace(WELL, memory_percent=65), LIMITS, (), [over])) == ["broker_memory"]


def test_who_is_still_missing_a_minute_after_a_long_cause_is_told() -> None:
    gone = replace(WELL, queues=queues(oldest_seconds=90.0, consumers=0, quiet_seconds=90.0))
    nobody = replace(WELL, unled={"recorder": 90.0})
    for cause, facts, rule in (
        (Rule.BROKER_AWAY, gone, "no_worker"),
        (Rule.BROKER_FULL, gone, "no_worker"),
        (Rule.DATABASE_AWAY, nobody, "no_recorder"),
    ):
        just_over, over = (told(cause, opened=-7200, resolved=ago) for ago in (-50, -70))
        assert keys_of(judge(facts, LIMITS, (), [just_over])) == []
        assert keys_of(judge(facts, LIMITS, (), [over])) == [rule]


def test_targets_missed_by_a_cause_are_its_own_as_long_as_they_are_looked_back_at() -> None:
    burning = replace(WELL, burns={"critical": LATE})
    over = told(Rule.NO_DISPATCHER, opened=-300, resolved=-240)
    assert keys_of(judge(burning, LIMITS, (), [over])) == []
    long_over = told(Rule.NO_DISPATCHER, opened=-3000, resolved=-2900)
    assert keys_of(judge(burning, LIMITS, (), [long_over])) == ["sla_fast_burn:critical"]


def test_open_alert_is_told_with_the_cause_that_is_found_after_it_and_one_that_was_there_before_stays() -> None:
    cause = told(Rule.NO_DISPATCHER, opened=-2, since=-14)
    during, before = told(Rule.BACKLOG_OLD, "email", opened=-4), told(Rule.BACKLOG_OLD, "reports", opened=-600)

    assert to_fold([cause, during, before]) == {"backlog_old:email": "no_dispatcher"}
    assert to_fold([replace(cause, resolved_at=NOW), during]) == {}


def test_cause_of_a_cause_is_the_cause_of_both() -> None:
    facts = replace(INCIDENTS["no_recorder"], recorder_lag_seconds=35.0)
    judgement = judge(facts, LIMITS)
    assert keys_of(judgement) == ["no_recorder"]
    assert {"recorder_behind", "stream_long", "sla_fast_burn:email"} <= set(judgement.also["no_recorder"])


def test_breaker_of_a_task_type_explains_its_dead_letters_and_no_others() -> None:
    breaker = TrippedBreaker("task_type", "charge", "open", NOW - 9)
    facts = replace(WELL, breakers=(breaker,), failed={"charge": 50, "mail": 50})
    judgement = judge(facts, LIMITS)
    assert keys_of(judgement) == ["breaker_open:task_type:charge", "dead_letters:mail"]
    long = replace(facts, breakers=(replace(breaker, since=NOW - 1000),))
    assert keys_of(judge(long, LIMITS)) == ["breaker_open_long:task_type:charge", "dead_letters:mail"]
    assert judge(long, LIMITS).also == {
        "breaker_open_long:task_type:charge": ("breaker_open:task_type:charge", "dead_letters:charge")
    }


def test_breaker_explains_the_errors_that_count_for_it_and_no_others() -> None:
    breakers = (
        TrippedBreaker("dependency", "smtp", "open", NOW - 9),
        TrippedBreaker("task_type", "charge", "open", NOW),
    )
    errors = (
        ErrorNews("id1", "mail", "dependency:smtp", "OSError", NOW, is_back=False),
        ErrorNews("id2", "charge", None, "KeyError", NOW, is_back=True),
        ErrorNews("id3", "mail", None, "KeyError", NOW, is_back=False),
        ErrorNews("id4", "mail", "dependency:crm", "OSError", NOW, is_back=False),
    )
    judgement = judge(replace(WELL, breakers=breakers, errors=errors), LIMITS)
    assert keys_of(judgement) == [
        "breaker_open:dependency:smtp", "breaker_open:task_type:charge", "error_new:task_type:mail#id3",
        "error_new:dependency:crm#id4",
    ]  # fmt: skip
    assert judgement.also == {
        "breaker_open:dependency:smtp": ("error_new:dependency:smtp#id1",),
        "breaker_open:task_type:charge": ("error_back:task_type:charge#id2",),
    }


def test_a_page_is_never_held_back_by_a_ticket() -> None:
    email = replace(WELL, queues=queues(oldest_seconds=6.0)[1:2], burns={"email": LATE})
    assert keys_of(judge(email, LIMITS)) == ["backlog_old:email", "sla_fast_burn:email"]
    critical = replace(WELL, queues=queues(oldest_seconds=6.0)[:1], burns={"critical": LATE})
    assert keys_of(judge(critical, LIMITS)) == ["backlog_old:critical"]


def test_every_cause_is_read_before_what_it_leads_to_so_that_there_is_no_circle() -> None:
    for cause, leads_to in LEADS_TO.items():
        for consequence in leads_to:
            assert RANK[cause] < RANK[consequence], (cause, consequence)


def test_what_causes_others_is_a_page_unless_it_leads_to_tickets_only() -> None:
    for cause, leads_to in LEADS_TO.items():
        pages = [one for one in leads_to if KINDS[one].severity is Severity.PAGE]
        # An old backlog is a page where it is urgent.
        assert KINDS[cause].severity is Severity.PAGE or not pages or cause is Rule.BACKLOG_OLD


def test_a_condition_that_nothing_explains_is_never_withheld_and_one_that_is_withheld_has_a_root_that_is_told() -> None:
    for seed in seeds():
        draw = random.Random(seed)
        conditions = _drawn_conditions(draw)
        others = _drawn_told(draw)
        found = sort_out(conditions, others, NOW)
        roots = {one.key for one in found.roots}
        assert roots | found.withheld.keys() == {one.key for one in conditions}, seed
        assert not roots & found.withheld.keys(), seed
        causes = {one.key for one in others} | roots
        assert set(found.withheld.values()) <= causes, seed
        for one in found.roots:
            assert not any(_leads(other, one) for other in conditions), (seed, one)
        shuffled = draw.sample(conditions, len(conditions))
        again = sort_out(shuffled, draw.sample(others, len(others)), NOW)
        assert again.withheld == found.withheld, seed


def test_a_thousand_alerts_are_sorted_out_in_no_time() -> None:
    found = [Condition(rule, f"dependency:{number}", "", "") for rule in _BREAKERS for number in range(500)]
    there = [told(Rule.BREAKER_OPEN, f"dependency:{number}", opened=-60) for number in range(1000)]
    began = time.process_time()
    assert len(sort_out(found, there, NOW).withheld) == 500
    assert to_fold(there) == {}
    assert time.process_time() - began < 1.0


def test_everything_is_told_once_every_cause_is_long_over() -> None:
    for seed in seeds():
        draw = random.Random(seed)
        conditions = [one for one in _drawn_conditions(draw) if one.rule not in CAUSES]
        over = [
            replace(one, since=NOW - 2 * LONGEST_GRACE_SECONDS, resolved_at=NOW - LONGEST_GRACE_SECONDS)
            for one in _drawn_told(draw)
        ]
        assert sort_out(conditions, over, NOW).withheld == {}, seed


def test_page_about_alerts_tells_what_leads_to_what() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    listed = {
        found[1]: set(re.findall(r"`(\w+)`", found[2].replace("late", ", ".join(f"`{one}`" for one in LATE_RULES))))
        for found in re.finditer(r"^- `(\w+)`: ((?:.|\n  )+?)[;.]$", page, re.MULTILINE)
    }
    assert listed == {str(cause): {str(one) for one in leads_to} for cause, leads_to in LEADS_TO.items()}


def test_grace_is_between_a_minute_and_the_longest() -> None:
    for rule in Rule:
        for lasted in (0.0, 61.0, 1e9):
            assert 60 <= grace_seconds(rule, lasted) <= LONGEST_GRACE_SECONDS


def seeds() -> range:
    """``POINTSMAN_ALERT_SEEDS`` from ``POINTSMAN_ALERT_SEED`` on; what fails names its own."""
    return range(_FIRST_SEED, _FIRST_SEED + _SEEDS)


def _leads(cause: Condition, other: Condition) -> bool:
    of = LEADS_TO.get(cause.rule, {}).get(other.rule)
    same = of is Of.ALL or cause.subject in ("", other.subject)
    page = severity_of(cause) is Severity.PAGE or severity_of(other) is Severity.TICKET
    return of is not None and same and page


def _drawn_conditions(draw: random.Random) -> list[Condition]:
    found = {}
    for _ in range(draw.randrange(1, 12)):
        severity = draw.choice([None, Severity.PAGE, Severity.TICKET])
        one = Condition(draw.choice(list(Rule)), draw.choice(["", *QUEUES]), "", "", severity=severity)
        found[one.key] = one
    return list(found.values())


def _drawn_told(draw: random.Random) -> list[Told]:
    found: Iterable[Told] = (
        told(
            draw.choice(list(Rule)),
            draw.choice(["", *QUEUES]),
            opened=-draw.uniform(0, 4000),
            resolved=draw.choice([None, 0.0]),
        )
        for _ in range(draw.randrange(6))
    )
    return list({one.key: one for one in found}.values())
