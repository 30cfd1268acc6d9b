"""What the first page says of each kind of incident: the whole text, as somebody reads it at night."""

from dataclasses import replace
from typing import Any

import pytest

from pointsman_service.alert.kinds import Rule
from pointsman_service.now.composing import compose
from pointsman_service.now.facts import Away, Facts, Failure, Group, Mix, TakenMemory, Tripped, TypeRuns
from pointsman_service.now.picture import LastHour, Overall, QueueState, RunningNow, Urgency, said
from pointsman_service.observe.explain.facts import Node, Publisher
from pointsman_service.observe.explain.facts import RunningNow as Runs
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction
from tests.unit.now.moments import GROUP, NOW, TASK, ago, alert, links, only, queue, whole

HELD = "breaker:dependency:crm"


def node(name: str, *, live: bool, left: bool | None = None, seconds: float = 0.0, busy: int | None = 0) -> Node:
    return Node(name=name, processes=1, busy=busy, live=live, last_seen_at=ago(seconds), left=left)


def crm(**more: Any) -> Tripped:
    fields: dict[str, Any] = {
        "scope": "dependency",
        "name": "crm",
        "seen": "open",
        "since": ago(20),
        "error": Failure("HTTPError", "503 Service Unavailable", TASK, 5),
        "retry_at": ago(-12),
        "held": 212,
        "held_types": {"sync_contact": 180, "sync_deal": 32},
        "held_since": ago(19),
        "group": Group(GROUP, ago(25), "crm/tasks.py:41", 31),
    }
    return Tripped(**(fields | more))


def test_dependency_that_fails_is_named_with_its_error_what_it_holds_and_when_it_is_tried() -> None:
    facts = Facts(
        NOW,
        alerts=[alert(Rule.BREAKER_OPEN, "dependency:crm", link="/v1/breakers/dependency/crm")],
        breakers=[crm()],
        queues=[queue("external_api", held_by={HELD: 212}, depth=9, oldest_wait_seconds=50.0)],
    )

    cause = only(compose(facts))

    assert whole(cause) == (
        "crm has failed since 12:43:51 UTC (20 s): HTTPError: 503 Service Unavailable at crm/tasks.py:41, 5 calls.\n"
        "212 tasks are held (180 sync_contact, 32 sync_deal), the first for 19 s; a held task loses no attempt.\n"
        "external_api is 40 s over its target of 10 s.\n"
        "It is tried again in 12 s (12:44:23 UTC).\n"
        "- See what the calls fail with, and mend what is called.\n"
        "- Try it now, with a few of what it holds. <probe_breaker>\n"
        "- Close it now: calls pass, and are counted anew. <force_breaker_closed>\n"
        "- Keep it open until somebody takes that back. <force_breaker_open>\n"
        "- Disable it: every call passes. <disable_breaker>"
    )
    assert {("task", TASK), ("breaker", "dependency:crm"), ("queue", "external_api")} <= links(cause)
    assert cause.error is not None
    assert (cause.error.task_id, cause.error.where, cause.error.count) == (TASK, "crm/tasks.py:41", 5)


def test_errors_that_a_cause_leads_to_are_told_without_the_ids_of_their_groups() -> None:
    also = ("error_new:dependency:crm#" + str(GROUP), "error_back:task_type:sync#" + str(GROUP))
    opened = replace(alert(Rule.BREAKER_OPEN, "dependency:crm"), also=also)

    lines = whole(only(compose(Facts(NOW, alerts=[opened], breakers=[crm()])))).split("\n")

    assert "Because of it an earlier error is back: task_type:sync." in lines
    assert "Because of it a new error has appeared." in lines


def test_types_of_what_is_held_are_counted_up_to_a_limit() -> None:
    many = crm(held=12_000, held_types={"a": 500, "b": 500, "c": 40, "d": 1, "e": 1})

    (held,) = only(compose(Facts(NOW, breakers=[many]))).consequences

    assert said(held).startswith("12,000 tasks are held (500+ a, 500+ b, 40 c and 2 more), the first for 19 s;")


def test_breaker_is_a_cause_before_there_is_an_alert_of_it() -> None:
    now = compose(Facts(NOW, breakers=[crm()]))

    assert (now.verdict, only(now).kind, only(now).alert_ids) == (Overall.DEGRADED, "breaker_open", ())


@pytest.mark.parametrize(
    ("runs", "verb", "others"),
    [
        (
            TypeRuns(9, 5, 0, ago(300)),
            "always fails",
            "No input succeeds: 5 of 5 tasks failed in a quarter of an hour.",
        ),
        (
            TypeRuns(9, 5, 4, ago(300)),
            "has failed",
            "Other inputs succeed: 5 of 9 tasks failed in a quarter of an hour.",
        ),
    ],
)
def test_task_type_with_a_bug_is_named_with_its_line_and_whether_other_inputs_succeed(
    runs: TypeRuns, verb: str, others: str
) -> None:
    tripped = Tripped(
        "task_type",
        "shopc.poisoned",
        "open",
        ago(60),
        error=Failure("KeyError", "'price_cents'", TASK, 5),
        retry_at=ago(-30),
        group=Group(GROUP, ago(61), "shopc/tasks.py:88", 5),
    )
    facts = Facts(NOW, breakers=[tripped], types={"shopc.poisoned": runs})

    lines = whole(only(compose(facts))).split("\n")

    assert lines[0] == (
        f"shopc.poisoned {verb} since 12:43:11 UTC (60 s): KeyError: 'price_cents' at shopc/tasks.py:88, 5 runs."
    )
    assert lines[1:3] == [others, "A new version of it was published at 12:39:11 UTC (5 min ago)."]
    assert ("task", TASK) in links(only(compose(facts)))


def test_task_type_without_a_breaker_is_named_by_its_dead_letters() -> None:
    found = Failure("KeyError", "'price_cents'", TASK, 40), Group(GROUP, ago(600), "shopc/tasks.py:88", 40)
    facts = Facts(
        NOW,
        alerts=[alert(Rule.DEAD_LETTERS, "shopc.poisoned", value=40.0)],
        failing={"shopc.poisoned": found},
        types={"shopc.poisoned": TypeRuns(40, 40, 0)},
    )

    cause = only(compose(facts))

    assert said(cause.parts) == (
        "shopc.poisoned always fails: KeyError: 'price_cents' at shopc/tasks.py:88 since 12:34:11 UTC (10 min)."
    )
    assert ("task", TASK) in links(cause)
    assert ("dead_letters", None) in links(cause)


@pytest.mark.parametrize(
    ("rule", "told"),
    [(Rule.ERROR_NEW, "It is new."), (Rule.ERROR_BACK, "It had been taken for mended, and is back again.")],
)
def test_dead_letters_and_the_news_of_their_error_are_one_cause(rule: Rule, told: str) -> None:
    group = Group(GROUP, ago(600), "shopc/tasks.py:88", 40)
    opened = [
        alert(Rule.DEAD_LETTERS, "shopc.poisoned", value=40.0),
        alert(rule, f"task_type:shopc.poisoned#{GROUP}"),
    ]
    failing = {"shopc.poisoned": (Failure("KeyError", "'price_cents'", TASK, 40), group)}

    cause = only(compose(Facts(NOW, alerts=opened, failing=failing)))

    assert said(cause.parts).startswith("shopc.poisoned fails: KeyError: 'price_cents'")
    assert told in whole(cause)
    assert cause.alert_ids == (opened[0].id, opened[1].id)
    assert [remedy.act for remedy in cause.remedies if remedy.act] == ["retry_tasks", "resolve_error"]


def test_news_of_another_error_than_that_of_the_dead_letters_is_a_cause_of_its_own() -> None:
    group = Group(GROUP, ago(600), "shopc/tasks.py:88", 40)
    opened = [
        alert(Rule.DEAD_LETTERS, "shopc.poisoned", value=40.0),
        alert(Rule.ERROR_NEW, "task_type:shopc.poisoned#5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b78"),
    ]
    failing = {"shopc.poisoned": (Failure("KeyError", "'price_cents'", TASK, 40), group)}

    assert len(compose(Facts(NOW, alerts=opened, failing=failing)).causes) == 2


def test_pool_without_a_worker_is_one_cause_with_its_last_node_and_the_command() -> None:
    facts = Facts(
        NOW,
        alerts=[
            alert(Rule.NO_WORKER, "email", seconds=30),
            alert(Rule.BACKLOG_OLD, "email", seconds=20),
            alert(Rule.SLA_AT_RISK, "email", seconds=20),
            alert(Rule.WORKER_LOST, "email@h", seconds=10),
        ],
        queues=[queue("email", sla=60, depth=18, oldest_wait_seconds=120.0, arrival_rate=0.5, consumers=0)],
        nodes={"email": [node("email@h", live=False, left=False, seconds=31)]},
    )

    cause = only(compose(facts))

    assert whole(cause) == (
        "email has no live worker since 12:43:41 UTC (30 s).\n"
        "email@h was last seen 12:43:40 UTC, and fell silent.\n"
        "18 tasks wait on email, the oldest for 2 min; target 60 s; 30/min come.\n"
        "Because of it tasks wait for longer than their target: email.\n"
        "Because of it a worker fell silent: email@h.\n"
        "What its workers ran is sent again to the next that starts; nothing is lost.\n"
        "- Start a worker of email. [celery -A pointsman worker -Q email]"
    )
    assert len(cause.alert_ids) == 4
    assert cause.severity is Urgency.PAGE


def test_redis_away_is_one_banner_over_all_that_follows_from_it() -> None:
    facts = Facts(
        NOW,
        broker=Away(ago(90), "Connection refused"),
        alerts=[
            alert(Rule.BROKER_AWAY, seconds=87),
            alert(Rule.NO_WORKER, "email", seconds=60),
            alert(Rule.BACKLOG_OLD, seconds=50),
        ],
        queues=[queue("email", depth=230, oldest_wait_seconds=80.0, consumers=None)],
    )

    now = compose(facts)

    assert said(only(now).parts) == (
        "Redis is away since 12:42:41 UTC (90 s) (Connection refused): 230 tasks are taken and wait, nothing starts."
    )
    assert [(line.state, line.state_reason) for line in now.queues] == [
        (QueueState.UNKNOWN, "Redis is away since 12:42:41 UTC")
    ]
    assert [one.what for one in now.unknown] == ["broker"]


def test_redis_away_is_said_before_there_is_an_alert_of_it() -> None:
    facts = Facts(NOW, broker=Away(ago(2), ""), alerts=[alert(Rule.NO_WORKER, "email", seconds=1)])

    assert only(compose(facts)).kind == "broker_away"


def test_with_both_servers_away_nothing_is_said_to_be_accepted() -> None:
    now = compose(Facts(NOW, database=Away(ago(30), ""), broker=Away(ago(20), "")))

    assert [cause.kind for cause in now.causes] == ["database_away", "broker_away"]
    told = [whole(now.causes[1]), now.causes[1].remedies[0].text, *(one.why for one in now.unknown)]
    assert "nothing starts" in told[0]
    assert not [text for text in told if "accepted" in text]


def test_postgresql_away_says_what_runs_and_that_all_else_is_of_before() -> None:
    facts = Facts(
        NOW,
        database=Away(ago(30), "connection refused"),
        queues=[queue("email", depth=3, oldest_wait_seconds=999.0, consumers=0)],
        seen_at=ago(31),
        worked=[RunningNow("email@h", TASK, None)],
    )

    now = compose(facts)

    assert said(only(now).parts) == (
        "PostgreSQL does not answer since 12:43:41 UTC (30 s) (connection refused): submissions are refused (503), and"
        " nothing is written down."
    )
    assert "Workers run 1 task now, and go on with what was sent." in whole(only(now))
    assert [(line.state, line.state_reason) for line in now.queues] == [(QueueState.UNKNOWN, "as of 12:43:40 UTC")]
    assert [one.task_id for one in now.running] == [TASK]
    assert [(one.what, one.since) for one in now.unknown] == [("database", ago(30))]


def test_flood_is_named_with_rates_what_it_is_of_and_the_processes_that_it_takes() -> None:
    email = queue(
        "email", sla=30, depth=18_223, oldest_wait_seconds=290.0, arrival_rate=58.0, service_rate=6.0, consumers=2
    )
    facts = Facts(
        NOW,
        alerts=[alert(Rule.BACKLOG_OLD, "email", seconds=200)],
        queues=[email],
        predictions={"email": Prediction(2900.0, 3000.0, Basis.FLOW, Confidence.GOOD, None)},
        mixes={"email": Mix(500, "send_mail", 0.99, ("campaign", "spring"), 1.0, ago(300), ago(250))},
    )

    assert whole(only(compose(facts))) == (
        "email: 18,223 tasks wait, 58/s come and 6.0/s go; at that rate those are started in 51 min.\n"
        "email is 4 min over its target of 30 s.\n"
        "99 % of what waits are send_mail, 100 % have the tag campaign:spring, submitted within 50 s at 12:39:11 UTC"
        " (by the first 500).\n"
        "To keep up with what comes it takes 20 processes; it has 2.\n"
        "A task submitted now starts within 50 min (95 %).\n"
        "\n"
        "- Cancel what has that tag. <cancel_tasks>\n"
        "- Start more workers. [celery -A pointsman worker -Q email]\n"
        "- Pause it, so that nothing of it starts. <pause_queue>"
    )


def test_slow_task_that_fills_a_pool_is_named_with_what_is_usual() -> None:
    facts = Facts(
        NOW,
        alerts=[alert(Rule.SLA_AT_RISK, "reports", seconds=60)],
        queues=[queue("reports", sla=60, depth=13, oldest_wait_seconds=90.0)],
        running={"reports": [Runs("shopc.report", 1, 100.0, TASK, 0.3)]},
    )

    lines = whole(only(compose(facts))).split("\n")

    assert lines[0] == (
        "reports: its one process has been busy for 100 s with shopc.report (usual p95 0.3 s); 13 tasks wait behind it."
    )
    assert "- Cancel it if it hangs. <cancel_task>" in lines
    assert ("task", TASK) in links(only(compose(facts)))


def test_starts_that_missed_their_target_are_told_with_what_fills_the_queue_as_urgent_as_they_are() -> None:
    facts = Facts(
        NOW,
        alerts=[
            replace(alert(Rule.SLA_FAST_BURN, "reports", seconds=30), severity="page"),
            alert(Rule.SLA_AT_RISK, "reports", seconds=60),
            alert(Rule.BACKLOG_OLD, "reports", seconds=60),
        ],
        queues=[queue("reports", sla=60, depth=13, oldest_wait_seconds=90.0)],
        running={"reports": [Runs("shopc.report", 1, 100.0, TASK, 0.3)]},
    )

    cause = only(compose(facts))

    assert (cause.severity, cause.kind, len(cause.alert_ids)) == (Urgency.PAGE, "backlog_old", 3)
    assert said(cause.parts).startswith("reports: its one process has been busy for 100 s with shopc.report")
    assert "The summary of sla_fast_burn." in whole(cause).split("\n")


def test_slow_task_that_says_how_far_it_is_is_named_with_that() -> None:
    facts = Facts(
        NOW,
        alerts=[alert(Rule.SLA_AT_RISK, "reports", seconds=60)],
        queues=[queue("reports", sla=60, depth=1, oldest_wait_seconds=90.0)],
        running={"reports": [Runs("shopc.report", 1, 100.0, TASK, None, 0.4)]},
    )

    assert said(only(compose(facts)).parts) == (
        "reports: its one process has been busy for 100 s with shopc.report, 40 % done; 1 task waits behind it."
    )


def test_full_redis_is_named_with_what_fills_it_and_backlogs_beneath() -> None:
    facts = Facts(
        NOW,
        memory_percent=86,
        memory=[TakenMemory("keys of others (cache)", 812_000_000), TakenMemory("messages of email", 4_200_000)],
        alerts=[
            alert(Rule.BROKER_FULL, seconds=60),
            alert(Rule.BROKER_MEMORY, seconds=59),
            alert(Rule.BACKLOG_OLD, "email", seconds=40),
        ],
        queues=[queue("email", depth=40, oldest_wait_seconds=20.0)],
    )

    lines = whole(only(compose(facts))).split("\n")

    assert lines[0] == (
        "Redis is full: 86 % of its memory is used. Nothing is sent above 70 %, and nothing starts above"
        " gate_memory_percent (85 % by default)."
    )
    assert lines[1:4] == [
        "keys of others (cache) take 812 MB.",
        "messages of email take 4.2 MB.",
        "40 tasks wait.",
    ]
    assert "Because of it tasks wait for longer than their target: email." in lines


def test_no_recorder_makes_no_queue_red() -> None:
    facts = Facts(
        NOW,
        recorded_up_to=ago(38),
        lag_seconds=38.0,
        unled={"recorder": 40.0},
        alerts=[alert(Rule.NO_RECORDER, seconds=40), alert(Rule.BACKLOG_OLD, "email", seconds=10)],
        queues=[queue("email", depth=5, oldest_wait_seconds=30.0)],
    )

    now = compose(facts)

    assert said(only(now).parts) == "Figures are 38 s old: no recorder runs since 12:43:31 UTC (40 s)."
    assert [(line.state, line.state_reason) for line in now.queues] == [
        (QueueState.UNKNOWN, "figures are of 12:43:33 UTC")
    ]
    assert [one.what for one in now.unknown] == ["recorder"]
    assert only(now).remedies[0].command == "python -m pointsman_service recorder"


def test_no_reconciler_is_told_with_what_stands_still() -> None:
    facts = Facts(NOW, unled={"reconciler": 45.0}, queues=[queue("email", states={"scheduled": 12, "retrying": 1})])

    now = compose(facts)

    assert whole(only(now)) == (
        "No reconciler runs since 12:43:26 UTC (45 s): delays, retries, rescues and worker states stand still.\n"
        "12 tasks are scheduled, and not woken when due.\n"
        "1 task is retrying, and not woken when due.\n"
        "Nothing is lost: what is due is started once one runs.\n"
        "- Start one: python -m pointsman_service reconciler, and read in its log why the last one ended."
        " [python -m pointsman_service reconciler]"
    )


def test_role_that_changes_hands_is_no_cause() -> None:
    now = compose(Facts(NOW, unled={"reconciler": 3.0, "recorder": 2.0, "dispatcher": 0.0}))

    assert (now.causes, now.verdict) == ((), Overall.HEALTHY)


def test_paused_queue_and_forced_breaker_are_told_with_who_and_why() -> None:
    email = queue(
        "email",
        sla=60,
        depth=340,
        oldest_wait_seconds=1380.0,
        paused=True,
        paused_at=ago(1400),
        paused_by="ops",
        pause_reason="provider moves",
    )
    forced = crm(seen="forced_open", by="ada", reason="they migrate", retry_at=None, until=ago(-600), since=ago(4000))
    now = compose(Facts(NOW, queues=[email], breakers=[forced]))

    breaker, pause = now.causes
    assert said(pause.parts) == 'email is paused since 12:20:51 UTC (23 min) by ops: "provider moves".'
    assert said(pause.consequences[0]) == "340 tasks wait on email, the oldest for 23 min; target 60 s."
    assert (pause.severity, pause.remedies[0].act) == (Urgency.NOTICE, "resume_queue")
    assert said(breaker.parts) == 'crm is forced open since 11:37:31 UTC (67 min) by ada: "they migrate".'
    assert said(breaker.being_done) == "It ends by itself in 10 min (12:54:11 UTC)."
    assert [one.act for one in breaker.remedies] == ["reset_breaker"]
    assert breaker.error is None


def test_pause_that_may_have_been_forgotten_is_no_mere_notice() -> None:
    paused = queue("email", paused=True, paused_at=ago(4000), paused_by="ops", depth=1, oldest_wait_seconds=11.0)

    assert compose(Facts(NOW, queues=[paused])).verdict is Overall.DEGRADED
    assert compose(Facts(NOW, queues=[replace(paused, paused_at=ago(60))])).verdict is Overall.HEALTHY


def test_task_type_that_no_node_knows_is_told_with_who_published_it_last() -> None:
    facts = Facts(
        NOW,
        alerts=[alert(Rule.UNKNOWN_TASK_TYPE, "orders.tasks.count@email", seconds=45, value=12.0)],
        queues=[queue("email", held_by={"unknown_task_type": 12})],
        nodes={"email": [node("email@h", live=True), node("old@h", live=False, seconds=300)]},
        publishers={"orders.tasks.count": Publisher("old@h", ago(300), ago(9000))},
    )

    cause = only(compose(facts))

    assert "\n".join(whole(cause).split("\n")[:4]) == (
        "12 tasks are held: no live node of email knows orders.tasks.count since 12:43:26 UTC (45 s).\n"
        "email is served by email@h; no node there has the task.\n"
        "It was last published by old@h at 10:14:11 UTC, which was last seen 12:39:11 UTC.\n"
        "They go on by themselves once a worker of the queue has it; no attempt is lost."
    )
    assert ("task_type", "orders.tasks.count") in links(cause)


def test_all_is_well_is_said_with_the_figures_of_the_hour() -> None:
    now = compose(Facts(NOW, queues=[queue("email")], last_hour=LastHour(12_481, 0.99987, 3)))

    assert now.verdict is Overall.HEALTHY
    assert now.sentence == (
        "All is well. 12,481 tasks in the last hour, 99.9 % started within target, 3 failed for good."
    )
    assert [line.state for line in now.queues] == [QueueState.OK]


def test_every_kind_of_alert_has_a_sentence() -> None:
    for rule in Rule:
        for subject in ("", "email", "dependency:crm", "x@email", "dependency:crm#" + str(GROUP)):
            now = compose(Facts(NOW, alerts=[alert(rule, subject)], queues=[queue("email")]))
            cause = only(now)
            assert said(cause.parts).endswith("."), rule
            assert cause.kind == rule
            assert cause.remedies, rule
            assert now.verdict is Overall.DEGRADED


def test_alert_of_another_release_is_told_in_its_own_words() -> None:
    row = replace(alert(Rule.NO_WORKER, "email"), rule="a_new_rule", key="a_new_rule:email", next_step="")

    cause = only(compose(Facts(NOW, alerts=[row])))

    assert (said(cause.parts), cause.kind, cause.remedies) == ("The summary of no_worker.", "a_new_rule", ())


def test_worst_comes_first_and_causes_before_what_they_may_lead_to() -> None:
    facts = Facts(
        NOW,
        alerts=[
            alert(Rule.ERROR_NEW, "task_type:a#1"),
            alert(Rule.NO_WORKER, "email"),
            alert(Rule.BREAKER_OPEN, "task_type:b"),
        ],
        queues=[queue("reports", paused=True, paused_by="ops", paused_at=ago(5))],
    )

    assert [cause.kind for cause in compose(facts).causes] == [
        "no_worker",
        "breaker_open",
        "error_new",
        "queue_paused",
    ]
