"""What capital letters ask and do, by what the API is asked."""

from typing import Any

import pytest

from pointsman_client.errors import Refused
from pointsman_client.top.acts import NoSuchAct, Question, carry_out, question
from pointsman_client.top.page.now import target_of
from pointsman_client.top.targets import WORKERS, Kind, Target
from pointsman_client.transport import Transport
from tests.unit.client import pages
from tests.unit.client.served import Served, served

TASK = "01a20271-c811-71a5-99c0-510fde22a57d"


def asked(api: Served, letter: str, target: Target | None, alerts: tuple[str, ...] = ()) -> Question:
    with Transport(api.place) as transport:
        return question(letter, target, alerts, transport)


def done(api: Served, wanted: Question) -> str:
    for path, _ in wanted.requests:
        api.answer(path, {}, method="POST")
    with Transport(api.place) as transport:
        return carry_out(wanted, "provider moves", transport)


def queue(**fields: Any) -> dict[str, Any]:
    return pages.example("/v1/queues/{name}") | {"depth": 212, "running": 2, "paused": False} | fields


def test_a_pause_says_how_many_tasks_stay() -> None:
    with served() as api:
        api.answer("/v1/queues/email", queue())
        wanted = asked(api, "P", Target(Kind.QUEUE, "email"))
        assert (wanted.asks, wanted.concerns) == ("Pause email?", "212 tasks wait and stay, 2 run and end.")
        assert api.posted() == [], "asking changes nothing"
        assert done(api, wanted) == "email is paused."
        assert api.posted() == [("/v1/queues/email/pause", {"reason": "provider moves"})]


def test_a_paused_queue_goes_on_and_it_is_said_who_paused_it() -> None:
    with served() as api:
        api.answer("/v1/queues/email", queue(paused=True, paused_by="ops", pause_reason="provider moves"))
        wanted = asked(api, "P", Target(Kind.QUEUE, "email"))
        assert wanted.asks == "Let email go on?"
        assert "Paused by ops: provider moves" in wanted.concerns
        assert [path for path, _ in wanted.requests] == ["/v1/queues/email/resume"]


def test_a_task_is_cancelled_unless_it_has_ended() -> None:
    task = pages.example("/v1/tasks/{task_id}")
    with served() as api:
        api.answer(f"/v1/tasks/{TASK}", task | {"state": "running"})
        wanted = asked(api, "C", Target(Kind.TASK, TASK))
        assert "1 task" in wanted.concerns
        assert "cannot be undone" in wanted.concerns
        assert [path for path, _ in wanted.requests] == [f"/v1/tasks/{TASK}/cancel"]
        api.answer(f"/v1/tasks/{TASK}", task | {"state": "succeeded"})
        with pytest.raises(NoSuchAct, match="succeeded already"):
            asked(api, "C", Target(Kind.TASK, TASK))


def test_what_failed_runs_again_once_for_one_question() -> None:
    task = pages.example("/v1/tasks/{task_id}")
    with served() as api:
        api.answer(f"/v1/tasks/{TASK}", task | {"state": "failed"})
        wanted = asked(api, "R", Target(Kind.TASK, TASK))
        done(api, wanted)
        done(api, wanted)
        keys = {headers["Idempotency-Key"] for method, _, headers, _ in api.asked if method == "POST"}
        assert len(keys) == 1
        api.answer(f"/v1/tasks/{TASK}", task | {"state": "running"})
        with pytest.raises(NoSuchAct, match="It is running"):
            asked(api, "R", Target(Kind.TASK, TASK))


def test_the_failed_tasks_of_a_group_are_counted_first_and_no_more_of_them_run_again() -> None:
    with served() as api:
        api.answer("/v1/errors/g", pages.example("/v1/errors/{error_id}"))
        counted = {"tasks": 1204, "submitted_before": "2026-11-26T08:34:00Z", "dry_run": True}
        api.answer("/v1/tasks/retry", counted, method="POST")
        wanted = asked(api, "R", Target(Kind.ERROR, "g"))
        assert wanted.asks == "Run 1,204 failed tasks again?"
        done(api, wanted)
        (_, dry), (_, real) = api.posted()
        assert dry == {"error_group": "g", "state": "failed", "dry_run": True}
        assert real == {
            "error_group": "g", "state": "failed", "at_most": 1204, "submitted_before": "2026-11-26T08:34:00Z",
            "reason": "provider moves",
        }  # fmt: skip


def test_a_group_without_anything_to_run_again_is_not_asked_about() -> None:
    with served() as api:
        api.answer("/v1/errors/g", pages.example("/v1/errors/{error_id}"))
        api.answer("/v1/tasks/retry", {"tasks": 0, "submitted_before": "x", "dry_run": True}, method="POST")
        with pytest.raises(NoSuchAct, match="None of its tasks"):
            asked(api, "R", Target(Kind.ERROR, "g"))


def test_a_cause_is_acknowledged_by_each_of_its_alerts_and_one_without_alerts_is_not() -> None:
    cause = target_of(pages.incident()["causes"][0])
    with served() as api:
        wanted = asked(api, "A", cause, ("a", "b"))
        assert [path for path, _ in wanted.requests] == ["/v1/alerts/a/ack", "/v1/alerts/b/ack"]
        done(api, wanted)
        assert all(body["who"] and body["reason"] == "provider moves" for _, body in api.posted())
        with pytest.raises(NoSuchAct, match="No alert tells of it"):
            asked(api, "A", cause)


def test_a_worker_is_taken_off_and_let_back() -> None:
    with served() as api:
        api.answer(WORKERS, pages.workers())
        off = asked(api, "E", Target(Kind.WORKER, "critical@host-1"))
        assert off.asks == "Take critical@host-1 off its queues?"
        assert "0 of its pool go on" in off.concerns
        assert [path for path, _ in off.requests] == ["/v1/workers/critical%40host-1/eject"]
        back = asked(api, "E", Target(Kind.WORKER, "email@host-1"))
        assert [path for path, _ in back.requests] == ["/v1/workers/email%40host-1/admit"]


def test_a_breaker_is_forced_open_and_left_to_itself_again() -> None:
    breaker = pages.example("/v1/breakers/{scope}/{name}")
    target = Target(Kind.BREAKER, "dependency:api.example")
    with served() as api:
        api.answer("/v1/breakers/dependency/api.example", breaker | {"override": None})
        opened = asked(api, "F", target)
        assert [path for path, _ in opened.requests] == ["/v1/breakers/dependency/api.example/force-open"]
        by = {"state": "forced_open", "actor": "ops", "reason": "moves", "expires_at": None}
        api.answer("/v1/breakers/dependency/api.example", breaker | {"override": by})
        back = asked(api, "F", target)
        assert back.concerns == "forced open by ops: moves"
        assert [path for path, _ in back.requests] == ["/v1/breakers/dependency/api.example/reset"]


@pytest.mark.parametrize(
    ("letter", "target"), [("P", Target(Kind.TASK, TASK)), ("C", None), ("E", Target(Kind.QUEUE, "q"))]
)
def test_a_letter_that_means_nothing_there_says_where_it_does(letter: str, target: Target | None) -> None:
    with served() as api:
        with pytest.raises(NoSuchAct, match="choose one"):
            asked(api, letter, target)
        assert api.asked == []


def test_an_act_that_is_refused_is_not_said_to_be_done() -> None:
    with served() as api:
        api.answer("/v1/queues/email", queue())
        wanted = asked(api, "P", Target(Kind.QUEUE, "email"))
        api.answer("/v1/queues/email/pause", {"detail": "Not you."}, status=403, method="POST")
        with Transport(api.place) as transport, pytest.raises(Refused, match="Not you"):
            carry_out(wanted, "r", transport)
