"""What is told of a task, cause by cause."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.alert.kinds import KINDS, Rule, advice
from pointsman_service.observe.explain.causes import RANK, Cause
from pointsman_service.observe.explain.core import explain
from pointsman_service.observe.explain.explanation import FACTS
from pointsman_service.observe.explain.facts import Count, Facts, Fetched, Pause, RunningNow, System
from pointsman_service.observe.explain.remedies import REMEDIES
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction
from tests.unit.observe.explain.situations import (
    BUSY,
    CRM,
    HELD,
    IS_HELD,
    NODE,
    ON_ITS_WAY,
    QUEUE,
    RUNS,
    SITUATIONS,
    UNSENT,
    WELL,
    before,
    ended,
    later,
    task,
    without,
)


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_is_told_in_its_sentence(cause: Cause) -> None:
    facts, sentence = SITUATIONS[cause]
    found = explain(facts)
    assert (found.root.cause, found.root.sentence) == (cause, sentence)
    assert type(found.root.facts) is FACTS[cause]
    assert found.root.link.startswith(("/v1/", "/readyz"))
    assert not re.search(r"\{\w+\}", found.root.what_to_do + found.root.link)


def test_every_cause_has_facts_and_a_remedy() -> None:
    assert set(FACTS) == set(REMEDIES) == set(Cause)


def test_causes_that_there_are_alerts_of_keep_their_order_and_their_remedy() -> None:
    shared = [Cause(rule.value) for rule in Rule if rule.value in {cause.value for cause in Cause}]
    assert len(shared) >= 9
    told_first = [cause for cause in shared if cause not in (Cause.BREAKER_OPEN, Cause.WORKER_LOST)]
    assert told_first == sorted(told_first, key=RANK.__getitem__)
    for cause in shared:
        assert (KINDS[Rule(cause)].next_step, KINDS[Rule(cause)].page) == tuple(REMEDIES[cause])


@pytest.mark.parametrize(
    ("facts", "causes"),
    [
        (
            replace(
                BUSY,
                system=System(redis_up=False),
                queue=replace(QUEUE, nodes=(replace(NODE, live=False),), pause=Pause("ops", None, before(9))),
            ),
            [Cause.BROKER_AWAY, Cause.QUEUE_PAUSED, Cause.NO_WORKER],
        ),
        (
            replace(BUSY, queue=replace(BUSY.queue, on_broker=200), system=without("recorder")),
            [Cause.ALL_BUSY, Cause.NO_RECORDER, Cause.WINDOW_FULL],
        ),
        (
            replace(IS_HELD, breaker=CRM, system=without("reconciler")),
            [Cause.BREAKER_OPEN, Cause.NO_RECONCILER],
        ),
        (
            replace(IS_HELD, breaker=replace(CRM, retry_at=before(60)), system=without("reconciler")),
            [Cause.NO_RECONCILER, Cause.BREAKER_OPEN],
        ),
        (
            replace(SITUATIONS[Cause.SCHEDULED][0], system=without("reconciler")),
            [Cause.SCHEDULED, Cause.NO_RECONCILER],
        ),
        (replace(RUNS, system=without("recorder")), [Cause.RUNNING, Cause.NO_RECORDER]),
        (replace(ON_ITS_WAY, system=without("reconciler")), [Cause.NO_RECONCILER, Cause.NOT_BEGUN]),
        (replace(ON_ITS_WAY, fetched=Fetched("reports@host-1", live=False)), [Cause.WORKER_LOST]),
    ],
)
def test_the_root_comes_first_and_the_rest_with_it(facts: Facts, causes: list[Cause]) -> None:
    found = explain(facts)
    assert [found.root.cause, *(one.cause for one in found.also)] == causes


def test_what_ends_by_itself_is_told_with_the_moment() -> None:
    expected = {
        Cause.SCHEDULED: (True, later(90_000)),
        Cause.RETRYING: (True, later(3)),
        Cause.BREAKER_OPEN: (True, later(41)),
        Cause.BREAKER_FORCED_OPEN: (False, None),
        Cause.QUEUE_PAUSED: (False, None),
        Cause.NO_WORKER: (False, None),
        Cause.ALL_BUSY: (True, later(40)),
        Cause.CANCELLING: (True, later(6)),
        Cause.SUCCEEDED: (None, None),
    }
    found = {cause: explain(SITUATIONS[cause][0]).root for cause in expected}
    assert {cause: (one.clears_itself, one.expected_at) for cause, one in found.items()} == expected


def test_a_paused_queue_with_free_processes_is_not_busy_too() -> None:
    paused = replace(BUSY, queue=replace(BUSY.queue, pause=Pause("ops", None, before(9))))
    assert Cause.ALL_BUSY in [one.cause for one in explain(paused).also]
    free = replace(paused, queue=replace(paused.queue, nodes=(replace(NODE, processes=99),)))
    assert Cause.ALL_BUSY not in [one.cause for one in explain(free).also]


def test_what_takes_less_than_a_second_is_not_told_as_none() -> None:
    running = (RunningNow("n.sleep", 4, 0.31, "x", 1.4),)
    found = explain(
        replace(BUSY, now=BUSY.task.due_at + timedelta(seconds=0.4), queue=replace(BUSY.queue, running=running))
    )
    assert "with 4 of n.sleep for 0.31 s" in found.root.sentence


def test_what_others_wrote_breaks_no_sentence() -> None:
    written = Pause("ops", "their\x1b[31m\r\n  disk\u202e is full", before(9))
    found = explain(replace(UNSENT, queue=replace(QUEUE, pause=written))).root
    assert ": their [31m disk is full. Nothing of it" in found.sentence


def test_breaker_of_a_task_type_is_not_said_to_close_by_itself() -> None:
    facts = replace(IS_HELD, breaker=replace(CRM, scope="task_type", name="shop.report"))
    found = explain(facts).root
    assert found.clears_itself is None
    assert (found.what_to_do, found.documentation) == advice(Rule.BREAKER_OPEN, "task_type:shop.report")


def test_type_that_some_workers_of_the_queue_know_is_not_said_to_be_known_to_none() -> None:
    facts, _ = SITUATIONS[Cause.UNKNOWN_TASK_TYPE]
    assert facts.unknown is not None
    mixed = replace(facts, unknown=replace(facts.unknown, nodes=("a@h", "b@h"), knowing=("b@h",)))
    found = explain(mixed).root
    assert found.sentence == (
        "41 tasks are held on queue reports: taken by a worker that does not know the task type feeds.import. Of those"
        " that take from it only b@h knows the type; what is held is tried again every few seconds."
    )
    assert found.clears_itself is True


def test_override_with_an_end_is_told_with_it() -> None:
    forced = replace(CRM, seen="forced_open", by="ops", reason="they migrate", until=later(600))
    found = explain(replace(IS_HELD, breaker=forced)).root
    assert (found.clears_itself, found.expected_at) == (True, later(600))
    assert "It stays so until 08:44:12 UTC." in found.sentence


def test_worker_that_said_good_bye_is_told_from_one_that_fell_silent() -> None:
    gone = replace(NODE, busy=None, left=True, last_seen_at=before(5))
    found = explain(replace(UNSENT, queue=replace(QUEUE, nodes=(gone,)))).root
    assert found.cause is Cause.NO_WORKER
    assert "Last there: reports@host-1 at 08:34:07 UTC, which ended in order." in found.sentence
    assert found.what_to_do == "Start a worker whose -Q names the queue: celery -A pointsman worker -Q reports."


def test_queue_whose_workers_nobody_has_watched_is_not_said_to_have_none() -> None:
    unsure = replace(NODE, busy=None, live=None)
    found = explain(replace(UNSENT, queue=replace(QUEUE, nodes=(unsure,))))
    assert found.root.cause is not Cause.NO_WORKER


def test_queue_that_is_worked_off_has_others_before_it() -> None:
    two = replace(NODE, processes=2, busy=1)
    found = explain(replace(UNSENT, ahead=Count(1), queue=replace(QUEUE, nodes=(two,)))).root
    assert found.sentence == (
        "Others take the 2 processes of reports first, of which 1 is busy by now. 1 task of equal or higher priority is"
        " before it."
    )


def test_task_behind_others_is_not_said_to_start_within_a_moment_before_those_have_begun() -> None:
    new = replace(UNSENT, task=task(due_at=before(0.2)), ahead=Count(11))
    found = explain(new).root
    assert found.cause is Cause.ALL_BUSY
    assert found.sentence == (
        "Others take the one process of reports first. 11 tasks of equal or higher priority are before it."
    )
    full = replace(new, queue=replace(QUEUE, on_broker=200))
    assert explain(full).root.cause is Cause.WINDOW_FULL
    # Later on nobody takes them, though somebody could.
    assert explain(replace(new, task=task())).root.cause is not Cause.ALL_BUSY


def test_process_whose_run_is_written_down_is_busy_before_a_beat_names_it() -> None:
    new = replace(UNSENT, task=task(due_at=before(0.2)), ahead=Count(1), queue=replace(QUEUE, begun=1))
    found = explain(new).root
    assert found.sentence.startswith("The one process that takes from reports is busy. 1 task of")


def test_a_start_within_a_tenth_of_a_second_is_told_without_its_digits() -> None:
    soon = replace(BUSY, prediction=Prediction(0.012, 0.3, Basis.FLOW, Confidence.GOOD, None))
    assert explain(soon).root.sentence.endswith(" It starts at once, with 95 % confidence within 0.3 s.")
    short = explain(ended(TaskState.SUCCEEDED, run_seconds=8.2e-05, queue_wait_seconds=0.4)).root
    assert "after a run of under 0.1 s" in short.sentence


def test_task_purged_between_two_attempts_is_not_said_never_to_have_started() -> None:
    purged = explain(ended(TaskState.CANCELLED, attempt=1, cancel_requested_at=before(12))).root
    assert purged.sentence == "It was purged with the queue reports at 08:34:02 UTC while it waited, after 1 attempt."


def test_purge_that_has_not_ended_it_yet_is_told_as_one() -> None:
    purged = replace(UNSENT, task=task(cancel_requested_at=before(2)))
    found = explain(purged).root
    assert found.sentence == (
        "It is about to end: its queue was purged at 08:34:10 UTC. No attempt of it starts any more."
    )


def test_tasks_of_queues_that_its_workers_empty_first_are_told_to_be_before_it() -> None:
    found = explain(replace(BUSY, ahead=Count(0), elsewhere=200)).root
    assert " with shop.report for 100 s (usual p95 0.3 s). About 200 tasks of other queues, which" in found.sentence
    assert found.cause is Cause.ALL_BUSY


def test_a_rough_prediction_is_not_called_certain() -> None:
    rough = replace(BUSY, prediction=Prediction(40.0, 125.0, Basis.FLOW, Confidence.LOW, None))
    found = explain(rough).root
    assert found.sentence.endswith(" By what little is known it starts in about 40 s, perhaps only in 2 min.")
    assert "95 %" not in found.sentence


def test_ended_task_that_runs_again_is_not_to_be_run_again() -> None:
    found = explain(ended(TaskState.CANCELLED, replayed_as=UNSENT.task.id)).root
    assert found.what_to_do == "Nothing: it runs again, as the task that its sentence names."


def test_run_of_usual_length_is_not_called_long() -> None:
    found = explain(replace(RUNS, usual_p95_seconds=80.0)).root
    assert "for 100 s; the usual p95 of shop.report is 80 s." in found.sentence
    unseen = explain(replace(RUNS, usual_p95_seconds=None)).root
    assert "for 100 s. How long runs of shop.report usually take is not known." in unseen.sentence


def test_task_in_quarantine_is_told_when_its_queue_is_emptied_for_it() -> None:
    facts = replace(
        IS_HELD,
        task=task(state=TaskState.HELD, held_reason="quarantine"),
        live=replace(HELD, interrupted_in_a_row=5),
        queue=replace(QUEUE, kept_for=str(UNSENT.task.id)),
    )
    assert explain(facts).root.sentence.endswith("The queue reports is being emptied for it.")


def test_task_cancelled_while_it_waited_is_told_from_one_that_never_started() -> None:
    waited = explain(ended(TaskState.CANCELLED, cancel_requested_by="ada", cancel_requested_at=before(11)))
    never = explain(ended(TaskState.CANCELLED, attempt=0, cancel_requested_by="ada", cancel_requested_at=before(11)))
    assert waited.root.sentence == "It was cancelled by ada at 08:34:02 UTC while it waited, after 1 attempt."
    assert never.root.sentence == "It was cancelled by ada at 08:34:02 UTC before it started."


def test_ended_task_that_runs_again_names_the_new_one() -> None:
    again = UNSENT.task.id
    found = explain(ended(TaskState.FAILED, attempt=4, replayed_as=again)).root
    assert found.sentence.endswith(f"It runs again as task {again}.")


def test_census_is_told_before_what_it_explains() -> None:
    facts = replace(UNSENT, system=replace(WELL, in_census=True), queue=replace(QUEUE, nodes=()))
    found = explain(facts)
    assert (found.root.cause, found.root.clears_itself) == (Cause.BROKER_CENSUS, True)
