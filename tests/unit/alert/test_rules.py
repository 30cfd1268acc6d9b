import re
from dataclasses import replace
from typing import Any

import pytest

from pointsman_service.alert.conditions import Condition, Limits, severity_of
from pointsman_service.alert.facts import ErrorNews, Facts, LostWorker, QueueFacts, TrippedBreaker, UnknownType
from pointsman_service.alert.kinds import KINDS, Rule, Severity, advice
from pointsman_service.alert.rules import judge
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason
from pointsman_service.observe.sla import Burn, Starts
from tests.stand.environment import ROOT

NOW = 1_000_000.0
LIMITS = Limits(
    breaker_open_seconds=900,
    sla_objective=0.99,
    dead_letters=20,
    recorder_lag_seconds=30,
    dispatcher_lag_seconds=30,
    memory_percent=60,
    stream_entries=1000,
)
QUEUE = QueueFacts("email", 5.0, False, None, None, False, True, 1)
WELL = Facts(
    now=NOW,
    breakers=(),
    queues=(QUEUE,),
    burns={},
    failed={},
    unknown_types=(),
    lost_workers=(),
    errors=(),
    broker_up=True,
    memory_percent=10,
    broken_keys=(),
    stream_entries=0,
    set_aside={"email": 0},
    recorder_lag_seconds=0.0,
    left_out=0,
    unled={"recorder": 0.0, "dispatcher": 0.0, "reconciler": 0.0},
)


def found(facts: Facts, open_keys: set[str] | None = None) -> dict[str, Condition]:
    return {one.key: one for one in judge(facts, LIMITS, open_keys or set()).conditions}


def with_queue(**changes: Any) -> Facts:
    return replace(WELL, queues=(replace(QUEUE, **changes),))


def test_nothing_is_wrong_where_all_is_well() -> None:
    judgement = judge(WELL, LIMITS)
    assert judgement.conditions == ()
    assert judgement.unknown == {Rule.DATABASE_AWAY}


def test_nothing_is_said_of_what_is_not_known() -> None:
    judgement = judge(Facts(now=NOW), LIMITS)
    assert judgement.conditions == ()
    assert judgement.unknown == set(Rule)


def tripped(*numbers: int, seen: str = "open", since: float = NOW - 9) -> tuple[TrippedBreaker, ...]:
    return tuple(TrippedBreaker("dependency", f"host-{number}", seen, since) for number in numbers)


def test_a_thousand_breakers_of_one_cause_are_one_alert() -> None:
    many = found(replace(WELL, breakers=tripped(*range(1000))))
    assert many.keys() == {"breaker_open"}
    (one,) = many.values()
    assert (one.value, one.since, severity_of(one)) == (1000, NOW - 9, Severity.TICKET)
    assert one.summary.startswith("1,000 circuit breakers are open: dependency:host-0, ")
    assert one.summary.endswith(", ….")
    unsaid = found(replace(WELL, breakers=tripped(*range(500)), breakers_complete=False))
    assert unsaid["breaker_open"].summary.startswith("More than 500 circuit breakers are open")


def test_those_that_have_an_alert_keep_it_and_what_comes_beyond_ten_is_told_together() -> None:
    first = found(replace(WELL, breakers=tripped(*range(10))))
    assert len(first) == 10
    more = found(replace(WELL, breakers=tripped(*range(13))), set(first))
    assert more.keys() == first.keys() | {"breaker_open"}
    assert more["breaker_open"].value == 3
    assert "beside those with an alert of their own" in more["breaker_open"].summary
    # Until that is over what is new belongs to it.
    fewer = found(replace(WELL, breakers=tripped(1, 11)), set(more))
    assert fewer.keys() == {"breaker_open:dependency:host-1", "breaker_open"}
    assert found(replace(WELL, breakers=tripped(1)), set(fewer)).keys() == {"breaker_open:dependency:host-1"}


def test_many_breakers_open_for_long_are_a_page_unless_all_were_forced() -> None:
    long = tripped(*range(20), seen="forced_open", since=NOW - 5000)
    assert severity_of(found(replace(WELL, breakers=long))["breaker_open_long"]) is Severity.TICKET
    one = tripped(99, since=NOW - 5000)
    assert severity_of(found(replace(WELL, breakers=long + one))["breaker_open_long"]) is Severity.PAGE


def test_many_workers_and_many_task_types_are_one_alert_each() -> None:
    lost = tuple(LostWorker(f"w@{number}") for number in range(40))
    failed = {f"type-{number}": 100 for number in range(30)}
    many = found(replace(WELL, lost_workers=lost, failed=failed))
    assert {key: one.value for key, one in many.items()} == {"worker_lost": 40, "dead_letters": 30}


@pytest.mark.parametrize("seen", ["open", "half_open", "forced_open"])
def test_breaker_that_is_not_closed_is_one_alert(seen: str) -> None:
    facts = replace(WELL, breakers=(TrippedBreaker("dependency", "db.example.org:5432", seen, NOW - 10),))
    (one,) = found(facts).values()
    assert one.key == "breaker_open:dependency:db.example.org:5432"
    assert (one.since, one.link) == (NOW - 10, "/v1/breakers/dependency/db.example.org%3A5432")


def test_ejected_worker_is_told_as_what_it_is() -> None:
    one = found(replace(WELL, breakers=(TrippedBreaker("worker", "mail@a", "open", NOW - 5),)))[
        "breaker_open:worker:mail@a"
    ]
    assert one.summary == "The circuit breaker of worker mail@a is open: it gets no tasks."


def test_breaker_open_for_long_is_another_and_pages_unless_somebody_forced_it() -> None:
    facts = replace(WELL, breakers=(TrippedBreaker("dependency", "smtp", "open", NOW - 901),))
    one = found(facts)["breaker_open_long:dependency:smtp"]
    assert (severity_of(one), one.value, one.limit) == (Severity.PAGE, 901, 900)
    forced = replace(WELL, breakers=(TrippedBreaker("dependency", "smtp", "forced_open", NOW - 901),))
    assert severity_of(found(forced)["breaker_open_long:dependency:smtp"]) == Severity.TICKET


def test_breakers_beyond_the_limit_are_not_taken_for_closed() -> None:
    assert Rule.BREAKER_OPEN in judge(replace(WELL, breakers_complete=False), LIMITS).unknown


def test_targets_missed_in_both_windows_burn_the_budget() -> None:
    bad, good = Starts(50, 50), Starts(100, 0)
    assert found(replace(WELL, burns={"email": Burn(five_minutes=bad, hour=good)})) == {}
    assert found(replace(WELL, burns={"email": Burn(five_minutes=good, hour=bad)})) == {}
    fast = found(replace(WELL, burns={"email": Burn(five_minutes=bad, hour=bad, half_hour=good, six_hours=good)}))
    assert list(fast) == ["sla_fast_burn:email"]
    assert (fast["sla_fast_burn:email"].value, fast["sla_fast_burn:email"].limit) == (0.5, 0.144)
    slow = found(replace(WELL, burns={"email": Burn(half_hour=Starts(93, 7), six_hours=Starts(930, 70))}))
    assert list(slow) == ["sla_slow_burn:email"]


def test_share_of_a_few_starts_says_nothing() -> None:
    few = Starts(0, 9)
    assert found(replace(WELL, burns={"email": Burn(few, few, few, few)})) == {}


def predicted(p50: float | None, reason: Reason | None = None) -> Prediction:
    if p50 is None:
        return Prediction.unsaid(reason or Reason.NOT_KNOWN)
    return Prediction(p50, 2 * p50, Basis.FLOW, Confidence.GOOD, None)


def test_target_that_will_be_missed_is_told_before_it_is() -> None:
    well = with_queue(oldest_seconds=1.0, remaining=predicted(1.0), prediction=predicted(2.0))
    assert found(well) == {}
    first = found(with_queue(oldest_seconds=1.0, remaining=predicted(6.0), prediction=predicted(6.5)))
    assert list(first) == ["sla_at_risk:email"]
    assert (first["sla_at_risk:email"].value, first["sla_at_risk:email"].limit) == (7.0, 5.0)
    assert first["sla_at_risk:email"].summary == (
        "By the prediction the oldest task on email starts 7 s after it is due; its target is 5 s."
    )
    last = found(with_queue(oldest_seconds=1.0, remaining=predicted(0.1), prediction=predicted(600.0)))
    assert last["sla_at_risk:email"].summary.startswith(
        "By the prediction a task that is submitted on email starts 10 min"
    )


def test_target_that_was_missed_is_another_alert_and_this_one_stays_quiet() -> None:
    missed = with_queue(oldest_seconds=7.0, remaining=predicted(6.0), prediction=predicted(9.0))
    judgement = judge(missed, LIMITS, {"sla_at_risk:email"})
    assert [one.key for one in judgement.conditions] == ["backlog_old:email"]
    assert [one.key for one in judgement.withheld] == ["sla_at_risk:email"], "it goes on, and is not told again"


def test_risk_that_eases_a_little_is_not_over() -> None:
    near = with_queue(oldest_seconds=1.0, remaining=predicted(3.7), prediction=predicted(2.0))
    assert found(near) == {}
    assert list(found(near, {"sla_at_risk:email"})) == ["sla_at_risk:email"]


def test_tasks_that_nobody_takes_are_part_of_what_is_wrong_with_the_queue() -> None:
    for changes in ({"consumers": 0, "quiet_seconds": 20.0}, {"consumers": 0, "quiet_seconds": 6.0}):
        judgement = judge(with_queue(oldest_seconds=1.0, **changes), LIMITS)
        assert [one.key for one in judgement.conditions] == ["no_worker:email"]
        assert [one.key for one in judgement.withheld] == ["sla_at_risk:email"]


@pytest.mark.parametrize(
    "reason", [Reason.PAUSED, Reason.NO_WORKER, Reason.BREAKER_OPEN, Reason.NOT_ENOUGH_SEEN, Reason.NOT_KNOWN]
)
def test_what_cannot_be_predicted_is_no_risk(reason: Reason) -> None:
    said = predicted(None, reason)
    assert found(with_queue(oldest_seconds=1.0, remaining=said, prediction=said)) == {}


def test_a_queue_that_is_paused_or_catches_up_is_at_no_risk() -> None:
    late = with_queue(oldest_seconds=1.0, remaining=predicted(60.0), prediction=predicted(60.0))
    (queue,) = late.queues or ()
    assert found(replace(late, queues=(replace(queue, paused=True),))) == {}
    assert found(replace(late, queues=(replace(queue, resumed_seconds=5.0),))) == {}
    assert found(replace(late, queues=(replace(queue, oldest_seconds=None),))) == {}


def test_a_queue_with_an_objective_of_its_own_burns_its_own_budget() -> None:
    half = Starts(50, 50)
    burning = replace(WELL, burns={"email": Burn(half, half, half, half)})
    lax = replace(LIMITS, sla_objectives={"email": 0.9})
    assert [one.key for one in judge(burning, lax).conditions] == []
    strict = replace(LIMITS, sla_objectives={"email": 0.999})
    few = Starts(98, 2)
    assert [one.key for one in judge(replace(WELL, burns={"email": Burn(few, few, few, few)}), strict).conditions] == [
        "sla_fast_burn:email"
    ]


def test_backlog_older_than_its_target_pages_for_urgent_queues_only() -> None:
    one = found(with_queue(oldest_seconds=6.0))["backlog_old:email"]
    assert (one.value, one.limit, severity_of(one), one.since) == (6.0, 5.0, Severity.TICKET, NOW - 1)
    assert severity_of(found(with_queue(oldest_seconds=6.0, urgent=True))["backlog_old:email"]) == Severity.PAGE
    assert found(with_queue(oldest_seconds=4.9)) == {}


def test_paused_queue_is_no_alert() -> None:
    assert found(with_queue(oldest_seconds=600.0, waiting_seconds=600.0, consumers=0, paused=True)) == {}


def test_queue_with_tasks_and_no_worker_is_one() -> None:
    assert "no_worker:email" in found(with_queue(oldest_seconds=1.0, consumers=0))
    assert found(with_queue(oldest_seconds=None, consumers=0)) == {}
    assert Rule.NO_WORKER in judge(with_queue(oldest_seconds=1.0, consumers=None), LIMITS).unknown


def test_queue_whose_living_workers_are_all_ejected_is_told_to_admit_one() -> None:
    ejected = with_queue(oldest_seconds=1.0, consumers=0, kept_off=("email@h",))
    assert list(found(ejected)) == ["worker_ejected:email"]
    assert found(ejected)["worker_ejected:email"].summary == "Every live worker of email is kept off it: email@h."
    assert "POST /v1/workers/{worker}/admit" in advice(Rule.WORKER_EJECTED, "email")[0]
    one_left = with_queue(oldest_seconds=1.0, consumers=1, kept_off=("email@h",))
    assert found(one_left) == {}


def test_lost_worker_is_named() -> None:
    facts = replace(WELL, lost_workers=(LostWorker("critical@host-1"),))
    assert list(found(facts)) == ["worker_lost:critical@host-1"]


def test_dead_letters_are_counted_by_task_type() -> None:
    assert list(found(replace(WELL, failed={"a": 20, "b": 19}))) == ["dead_letters:a"]


def test_new_errors_and_those_that_are_back_are_named_by_what_they_count_for() -> None:
    new = ErrorNews("id1", "charge", None, "KeyError: <text>", NOW - 9, is_back=False)
    back = ErrorNews("id2", "mail", "dependency:smtp", "OSError: no", NOW - 9, is_back=True)
    told = found(replace(WELL, errors=(new, back)))
    assert list(told) == ["error_back:dependency:smtp#id2", "error_new:task_type:charge#id1"]
    assert told["error_new:task_type:charge#id1"].summary == "charge fails with a new error: KeyError: <text>."
    assert told["error_back:dependency:smtp#id2"].link == "/v1/errors/id2"


def test_a_storm_of_new_errors_is_one_alert() -> None:
    storm = tuple(ErrorNews(f"id{number}", "charge", None, "KeyError", NOW, is_back=False) for number in range(50))
    (told,) = found(replace(WELL, errors=storm)).values()
    assert (told.key, told.value) == ("error_new", 50)


def test_recorder_that_lags_or_does_not_run_says_what_is_stale() -> None:
    late = found(replace(WELL, recorder_lag_seconds=31.0))["recorder_behind"]
    gone = found(replace(WELL, unled={"recorder": 10.0}))["no_recorder"]
    for one in (late, gone):
        assert "shown as they were" in one.summary
    assert found(replace(WELL, recorder_lag_seconds=29.0)) == {}


def test_who_cannot_reach_the_broker_is_not_blamed() -> None:
    facts = replace(WELL, broker_up=False, recorder_lag_seconds=None, memory_percent=None, broken_keys=None)
    judgement = judge(facts, LIMITS)
    assert [one.key for one in judgement.conditions] == ["broker_away"]
    assert {Rule.RECORDER_BEHIND, Rule.DISPATCHER_BEHIND, Rule.BROKER_MEMORY} <= judgement.unknown


def test_dispatcher_is_behind_only_where_there_is_room() -> None:
    one = found(with_queue(waiting_seconds=31.0))["dispatcher_behind"]
    assert (one.value, one.limit) == (31.0, 30)
    assert found(with_queue(waiting_seconds=31.0, room=False)) == {}
    assert found(with_queue(waiting_seconds=31.0, room=None)) == {}
    assert "no_dispatcher" in found(replace(WELL, unled={"dispatcher": 10.0}))


def test_value_at_its_limit_is_one_alert_and_not_many() -> None:
    assert "broker_memory" in found(replace(WELL, memory_percent=60))
    assert found(replace(WELL, memory_percent=59)) == {}
    assert "broker_memory" in found(replace(WELL, memory_percent=55), {"broker_memory"})
    assert found(replace(WELL, memory_percent=53), {"broker_memory"}) == {}


def test_long_stream_is_an_alert() -> None:
    assert "stream_long" in found(replace(WELL, stream_entries=1000))


def test_key_of_another_type_is_named() -> None:
    (one,) = found(replace(WELL, broken_keys=("email",))).values()
    assert (one.key, severity_of(one)) == ("broker_key:email", Severity.PAGE)


def test_events_that_were_left_out_are_an_alert() -> None:
    (one,) = found(replace(WELL, left_out=3)).values()
    assert (one.key, one.value) == ("events_left_out", 3)
    (one,) = found(replace(WELL, left_out=3, left_out_last="the field attempt is no number")).values()
    assert one.summary.endswith("changed nothing. The last: the field attempt is no number.")


def test_messages_that_were_set_aside_are_an_alert_of_their_queue() -> None:
    (one,) = found(replace(WELL, set_aside={"email": 1200, "reports": 0})).values()
    assert (one.key, one.value) == ("messages_set_aside:email", 1200)
    assert one.summary == "Messages on queue email were set aside: 1,200 that no worker can run."
    told = replace(WELL, set_aside={"email": 1, "reports": 1}, set_aside_last={"email": "its body is no JSON"})
    one, other = found(told).values()
    assert one.summary.endswith("1 that no worker can run. The last: its body is no JSON.")
    assert other.summary.endswith("that no worker can run.")


def test_every_rule_says_what_to_do_and_points_to_a_heading_that_is_there() -> None:
    assert set(KINDS) == set(Rule)
    subjects = ("", "dependency:smtp", "task_type:charge", "worker:mail@a")
    for next_step, page in {advice(rule, subject) for rule in Rule for subject in subjects}:
        path, _, anchor = page.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in anchors
        assert next_step.endswith(".")


def test_table_of_rules_is_true() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    rows = {
        cells[0].strip("`"): cells
        for line in page.splitlines()
        if line.startswith("| `") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    assert set(rows) == set(Rule)
    for rule, kind in KINDS.items():
        assert str(kind.severity) in rows[rule][2]
        assert rows[rule][4:] == [f"{kind.hold_seconds:g} s", f"{kind.clear_seconds:g} s"]


def test_alert_of_a_full_redis_says_from_where_on_workers_start_nothing() -> None:
    full = found(replace(WELL, memory_percent=90))["broker_full"]
    assert full.summary == (
        "Redis is full, 90 % of its memory is used: nothing is sent, and from gate_memory_percent on, 85 % by default,"
        " workers start nothing. What is submitted is accepted and waits."
    )


def test_task_type_that_no_worker_of_its_queue_knows_is_one_for_each_queue() -> None:
    held = UnknownType("feeds.import", "reports", 41, 1000, NOW - 30, ("reports@a", "reports@b"))
    lonely = replace(held, queue="email", tasks=1000, nodes=())
    conditions = found(replace(WELL, unknown_types=(held, lonely)))
    assert list(conditions) == ["unknown_task_type:feeds.import@reports", "unknown_task_type:feeds.import@email"]
    one, other = conditions.values()
    assert one.summary == (
        "41 tasks are held on queue reports: no living worker of it knows the task type feeds.import. Of those that"
        " take from it (reports@a, reports@b) none knows the type."
    )
    assert (one.since, one.link) == (NOW - 30, "/v1/tasks?state=held&task_type=feeds.import&queue=reports")
    assert other.summary.startswith("1,000 or more tasks are held on queue email")
    assert other.summary.endswith("No worker takes from it.")
    mixed = found(replace(WELL, unknown_types=(replace(held, knowing=("reports@b",)),)))
    assert "only reports@b knows the type" in mixed["unknown_task_type:feeds.import@reports"].summary


def test_what_others_wrote_breaks_no_summary() -> None:
    found = Condition(Rule.BREAKER_OPEN, "x", "Last error: a\x1b[31m\r\n  cause\u202e.", "/v1/breakers")
    assert found.summary == "Last error: a [31m cause ."
