import json
import subprocess
import sys
from typing import Any

import pytest

from pointsman.node.keeper import Keeper
from pointsman.node.node import Node
from pointsman.node.slots import Phase, Run, Slots
from pointsman.parent.lost import LostChildren
from pointsman.settings import Settings


@pytest.fixture(scope="module")
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


class FakeRedis:
    """Holds one claim; takes reports while ``valid``."""

    stamp = None

    def __init__(self, claim: list[str | None]) -> None:
        self.claim = claim
        self.reports: list[tuple[Any, ...]] = []
        self.valid = True

    def command(self, *words: Any) -> list[str | None]:
        assert words[0] == "HMGET"
        return self.claim

    def script(self, name: str, keys: Any, head: Any, tail: Any) -> list[Any]:
        assert name == "report"
        if not self.valid:
            return ["wait"]
        *said, signed = tail[:7]
        assert signed == ""
        self.reports.append((*said, *tail[7:]))
        return ["ok", "1", "1-0", "0"]


def run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "task": "t1",
        "token": "mine",
        "task_type": "noop",
        "queue": "email",
        "dispatch": 1,
        "accepted_at": 0.0,
        "hard_limit_seconds": 0.0,
        "attempt": 2,
        "started_at": 5.0,
        "body_at": 0.0,
    }
    return Run(**(values | changes))


@pytest.fixture
def node() -> Node:
    return Node("n@h", Settings(), Slots(1), 1, ["email"])


def lost(node: Node, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> LostChildren:
    monkeypatch.setattr(Keeper, "_wake", lambda self: None)
    return LostChildren(node, redis, Keeper(node.settings, lambda kept, epoch: None), {})  # type: ignore[arg-type]  # a stand-in connection


def test_claimed_attempt_of_a_dead_child_is_reported_once(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    children = lost(node, redis, monkeypatch)
    children.run_once()
    children.run_once()
    ((task, attempt, token, kind, body, _, *verdict),) = redis.reports
    assert (task, attempt, token, kind) == ("t1", 2, "mine", "failed")
    assert json.loads(body)["error"]["type"] == "WorkerLost"
    assert (verdict[0], verdict[2:]) == ("failure", ["task_type:noop", ""])
    assert list(node.slots.taken()) == []


def test_attempt_past_its_hard_limit_is_reported_as_timed_out(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run(hard_limit_seconds=0.001))
    lost(node, redis, monkeypatch).run_once()
    body = json.loads(redis.reports[0][4])
    assert body["error"]["type"] == "TimeLimitExceeded"
    assert body["timed_out"] is True


def test_claim_whose_answer_was_lost_is_reported(node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = FakeRedis(["running", "mine", "7", "9.5"])
    node.slots.take(dead_pid).show(Phase.ASKING, run(attempt=0, started_at=0.0))
    lost(node, redis, monkeypatch).run_once()
    assert redis.reports[0][1] == 7
    assert json.loads(redis.reports[0][4])["started_at"] == 9.5


@pytest.mark.parametrize("claim", [[None, None, None, None], ["running", "other", "3", "1.0"]])
def test_child_that_died_before_its_claim_is_not_reported(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch, claim: list[str | None]
) -> None:
    redis = FakeRedis(claim)
    node.slots.take(dead_pid).show(Phase.ASKING, run())
    lost(node, redis, monkeypatch).run_once()
    assert redis.reports == []
    assert list(node.slots.taken()) == []


@pytest.mark.parametrize(("stopping", "kind"), [(False, "unclaimed"), (True, "ask")])
def test_that_a_child_died_before_its_claim_is_said(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch, stopping: bool, kind: str
) -> None:
    node.slots.take(dead_pid).show(Phase.ASKING, run())
    if stopping:
        node.slots.stop_waiting()
    children = lost(node, FakeRedis([None] * 4), monkeypatch)
    children.run_once()
    (note,) = children._keeper._notes
    assert (note.kind, note.task, json.loads(note.body)["dispatch"]) == (kind, "t1", 1)


@pytest.mark.parametrize("command", ["terminate", "revoke"])
def test_a_child_that_was_terminated_leaves_a_cancelled_attempt(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    node.terminated.append(("t1", f"celery control {command} on n@h"))
    lost(node, redis, monkeypatch).run_once()
    body = json.loads(redis.reports[0][4])
    assert (body["error"]["type"], body["permanent"]) == ("workers.TaskCancelled", True)
    assert body["error"]["message"].endswith(f"by celery control {command} on n@h")
    assert len(redis.reports[0]) == 6, "no breaker hears of it"


def test_attempt_that_was_reported_before_the_death_is_not_reported_again(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["done", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    lost(node, redis, monkeypatch).run_once()
    assert redis.reports == []
    assert list(node.slots.taken()) == []


def test_parked_outcome_is_reported_instead_of_the_death(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis([None, None, None, None])
    slot = node.slots.take(dead_pid)
    slot.show(Phase.RUNNING, run())
    slot.park(json.dumps([2, "succeeded", "{}", ["success", "task_type:noop"]]))
    lost(node, redis, monkeypatch).run_once()
    assert redis.reports[0][:5] == ("t1", 2, "mine", "succeeded", "{}")
    assert redis.reports[0][6:] == ("success", "task_type:noop")


def test_slot_is_kept_until_the_report_is_accepted(node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    redis.valid = False
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    children = lost(node, redis, monkeypatch)
    children.run_once()
    assert len(list(node.slots.taken())) == 1
    redis.valid = True
    children.run_once()
    assert len(redis.reports) == 1


def test_a_killed_run_that_was_cancelled_is_reported_so_and_never_retried(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    node.slots.cancel(0, "mine")
    lost(node, redis, monkeypatch).run_once()
    body = json.loads(redis.reports[0][4])
    assert (body["error"]["type"], body["permanent"]) == ("workers.TaskCancelled", True)
    assert "retry_in_seconds" not in body


def test_a_child_that_dies_while_its_node_stops_is_interrupted_and_blames_nobody(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    slot = node.slots.take(dead_pid)
    slot.show(Phase.RUNNING, run())
    slot.show_calling("smtp")
    node.slots.stop_waiting()
    lost(node, redis, monkeypatch).run_once()
    ((_, _, _, kind, text, _, *verdict),) = redis.reports
    body = json.loads(text)
    assert (kind, body["error"]["type"], body["interrupted"]) == ("failed", "Interrupted", True)
    assert body["breakers"] == {"task_type:noop": None, "dependency:smtp": None}, "a probe gives its permit back"
    assert "blamed" not in body
    assert verdict == [], "no breaker counts it"


def test_a_stop_that_the_parent_hears_just_after_its_children_interrupts_them(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    node.slots.take(dead_pid).show(Phase.RUNNING, run())
    monkeypatch.setattr("pointsman.parent.lost.time.sleep", lambda _: node.slots.stop_waiting())
    lost(node, redis, monkeypatch).run_once()
    assert json.loads(redis.reports[0][4])["interrupted"] is True


@pytest.mark.parametrize("why", ["a time limit", "a cancel"])
def test_what_ended_for_a_reason_of_its_own_while_its_node_stops_is_no_interruption(
    node: Node, dead_pid: int, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    redis = FakeRedis(["running", "mine", "2", "5.0"])
    limit = 0.001 if why == "a time limit" else 0.0
    node.slots.take(dead_pid).show(Phase.RUNNING, run(hard_limit_seconds=limit))
    if why == "a cancel":
        node.slots.cancel(0, "mine")
    node.slots.stop_waiting()
    lost(node, redis, monkeypatch).run_once()
    body = json.loads(redis.reports[0][4])
    assert body["error"]["type"] == ("TimeLimitExceeded" if limit else "workers.TaskCancelled")
    assert "interrupted" not in body
