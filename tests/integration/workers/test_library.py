"""What the worker library offers, in a real worker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pointsman_contract.events import EventKind
from tests.stand.waiting import until_now

from .conftest import LIBRARY, Valkey, Worker
from .support import ControlPlane


def test_an_async_body_succeeds(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.async", 21)
    assert library_worker.wait_for(task, "succeeded").body["result"] == "42"


def test_the_soft_limit_reaches_an_async_body_where_it_waits(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.async_soft", timelimit=(20, None))
    assert library_worker.wait_for(task, "succeeded").body["result"] == '"cleaned up"'


def test_a_retry_of_an_async_body_names_its_delay(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.async_retry")
    body = library_worker.wait_for(task, "failed").body
    assert (body["retry_in_seconds"], body["error"]["type"]) == (1.0, "ValueError")
    second = library_worker.publish("library.async_retry", task=task, after=1, dispatch=2)
    assert library_worker.wait_for(second, "succeeded").body["result"] == "1"
    until_now(lambda: library_worker.unacknowledged() == 0, "the acknowledgements")


def test_a_result_that_is_ignored_is_not_kept(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.quiet")
    assert "result" not in library_worker.wait_for(task, "succeeded").body


def test_of_much_progress_little_is_sent_and_the_last_goes_with_the_outcome(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.progress")
    outcome = library_worker.wait_for(task, "succeeded").body
    assert '"current": 1000' in outcome["progress"]
    assert library_worker.kinds(task).count(EventKind.PROGRESS) <= 10


def test_celerys_hooks_see_a_retry_and_then_a_failure(library_worker: ControlPlane, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    task = library_worker.publish("library.hooks", str(ledger), max_attempts=2)
    library_worker.wait_for(task, "failed")
    library_worker.publish("library.hooks", str(ledger), task=task, after=1, dispatch=2, max_attempts=2)
    until_now(lambda: len(library_worker.events(task, "failed")) == 2, "the second failure")
    until_now(
        lambda: ledger.exists() and ledger.read_text().splitlines() == ["retry always", "failure always"], "both hooks"
    )


def test_a_rate_limit_holds_a_managed_task_back_and_no_other(library_worker: ControlPlane) -> None:
    library_worker.wait_for(library_worker.publish("library.rare"), "succeeded")
    second = library_worker.publish("library.rare")
    library_worker.wait_for(library_worker.publish("library.async", 1), "succeeded")
    assert library_worker.kinds(second) == []
    assert library_worker.unacknowledged() >= 1, "it waits in the worker, unclaimed"


def test_a_death_is_retried_by_the_tasks_own_policy(library_worker: ControlPlane) -> None:
    body = library_worker.wait_for(library_worker.publish("library.dies"), "failed").body
    assert (body["error"]["type"], body["retry_in_seconds"]) == ("WorkerLost", 3.0)


def test_a_hard_limit_is_not_retried_when_autoretry_for_does_not_name_it(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.picky", timelimit=(1, None))
    body = library_worker.wait_for(task, "failed").body
    assert (body["error"]["type"], body["permanent"]) == ("TimeLimitExceeded", True)


def test_a_plain_celery_call_of_an_async_task_has_its_result(
    library_worker: ControlPlane, shared_valkey: Valkey
) -> None:
    task = library_worker.publish("library.async", 1)
    library_worker.wait_for(task, "succeeded")
    called = celery_call(shared_valkey.url, "library.async", "[4]")
    native = until_now(
        lambda: [event for event in library_worker.events(kind="native") if event.task == called],
        "the native run",
    )[0]
    assert native.body["state"] == "SUCCESS"


def test_a_task_for_plain_celery_alone_runs_so_and_a_managed_message_of_it_does_not(
    library_worker: ControlPlane, shared_valkey: Valkey
) -> None:
    offered = json.dumps(library_worker.events(kind="catalogue")[-1].body)
    assert "library.own_names" in offered
    assert "library.plain_only" not in offered
    task = library_worker.publish("library.plain_only")
    assert library_worker.wait_for(task, "unknown").body["task_type"] == "library.plain_only"
    called = celery_call(shared_valkey.url, "library.plain_only", "[]")
    native = until_now(lambda: [e for e in library_worker.events(kind="native") if e.task == called], "the native run")[
        0
    ]
    assert native.body["state"] == "SUCCESS"
    assert library_worker.kinds(task) == ["unknown"]


def test_a_task_may_keep_things_of_its_own_under_our_names(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.own_names")
    assert library_worker.wait_for(task, "succeeded").body["result"] == '"mine True no 5"'


def celery_call(url: str, task_type: str, args: str) -> str:
    """Send a plain Celery message; its task id."""
    node: Any = Worker.__new__(Worker)
    node.environment = {"PATH": "", "POINTSMAN_REDIS_URL": url, "POINTSMAN_TASK_MODULES": LIBRARY}
    called = node.celery("call", task_type, "--args", args)
    assert called.returncode == 0, called.stderr
    return str(called.stdout.strip())


REFUSED = """
from pointsman import task


@task(name="refused.typo", retry_backof=True)
def typo(): ...


@task(name="refused.endless", time_limit=0)
def endless(): ...


@task(name="refused.lost", queue="nowhere")
def lost(): ...
"""


def test_a_worker_refuses_to_start_and_names_every_option_it_cannot_honour(
    start_worker: Callable[..., Worker], own_plane: ControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "refused.py").write_text(REFUSED)
    own_plane.declare(1)
    node = start_worker("-c", "1", POINTSMAN_TASK_MODULES="refused", PYTHONPATH=str(tmp_path))
    assert node.process.wait(120) != 0
    said = node.text()
    assert "Task refused.typo: there is no option retry_backof, did you mean retry_backoff?" in said
    assert "Task refused.endless: it has no time limit" in said
    assert "Task refused.lost: it asks for the queue nowhere" in said
    assert "Traceback" not in said
