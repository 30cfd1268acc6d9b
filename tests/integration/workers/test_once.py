"""``self.once()`` in a real worker and a real Redis."""

from functools import partial
from pathlib import Path

import pytest

from pointsman_contract.keys import claim, once
from tests.stand.waiting import until_now

from .conftest import Valkey
from .support import ControlPlane
from .test_library import celery_call


@pytest.mark.parametrize(
    ("how", "seen"),
    [("finish", '[false,true,"receipt"]'), ("raise", "[false,false,null]"), ("die", "[false,false,null]")],
)
def test_a_step_happens_once_whatever_became_of_the_first_attempt(
    library_worker: ControlPlane,
    tmp_path: Path,
    how: str,
    seen: str,
) -> None:
    ledger = tmp_path / "ledger"
    task = library_worker.publish("library.once", str(ledger), how)
    library_worker.wait_for(task, "failed")
    library_worker.publish("library.once", str(ledger), how, task=task, after=1, dispatch=2)
    assert library_worker.wait_for(task, "succeeded").body["result"] == seen
    assert ledger.read_text().splitlines() == ["charged in attempt 1"]
    assert 0 < library_worker.redis.ttl(once(task)) <= 7 * 86_400


def test_a_step_in_a_thread_happens_once_and_is_refused_where_the_run_is_not_known(
    library_worker: ControlPlane, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    task = library_worker.publish("library.once_in_threads", str(ledger))
    for attempt in (1, 2, 3):
        until_now(partial(_have_failed, library_worker, task, attempt), f"failure {attempt}")
        if attempt < 3:
            library_worker.publish(
                "library.once_in_threads", str(ledger), task=task, after=attempt, dispatch=attempt + 1
            )
    outcomes = [event.body["error"]["type"] for event in library_worker.events(task, "failed")]
    assert outcomes == ["ValueError", "ValueError", "RunNotCarried"]
    lines = sorted(ledger.read_text().splitlines())
    assert lines == sorted(["pool in attempt 1", *(f"thread {number} in attempt 1" for number in range(8))])


def test_an_attempt_that_was_given_up_does_not_begin_a_step(library_worker: ControlPlane, tmp_path: Path) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = library_worker.publish("library.late_once", str(ledger), str(go))
    library_worker.wait_for(task, "started")
    library_worker.redis.hset(claim(task), mapping={"state": "released", "token": ""})
    go.touch()
    assert library_worker.wait_for(task, "failed").body["error"]["type"] == "AttemptSuperseded"
    assert not ledger.exists()


def test_a_plain_celery_run_is_refused(library_worker: ControlPlane, shared_valkey: Valkey, tmp_path: Path) -> None:
    called = celery_call(shared_valkey.url, "library.once", f'["{tmp_path / "ledger"}", "finish"]')
    native = until_now(lambda: [e for e in library_worker.events(kind="native") if e.task == called], "the native run")[
        0
    ]
    assert native.body["error"]["type"] == "OnceNotManaged"
    assert not (tmp_path / "ledger").exists()


def _have_failed(plane: ControlPlane, task: str, attempts: int) -> bool:
    return len(plane.events(task, "failed")) == attempts
