"""Plain Celery tasks run as Celery runs them, and priorities mean what people read."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import chain, chord, group

from pointsman.app import configuration
from pointsman.settings import settings
from pointsman_contract.queues import list_key
from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import DEADLINE_SECONDS, until_now


@pytest.fixture(scope="module")
def sample(shared_worker: Worker) -> Iterator[Any]:
    """The sample tasks as a client imports them, sending to the shared worker's broker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POINTSMAN_REDIS_URL", shared_worker.environment["POINTSMAN_REDIS_URL"])
        settings.cache_clear()
        from tests.integration.workers import sample_tasks

        app: Any = sample_tasks.add.app
        # Another test of this process may have read the configuration before there was a broker.
        app.conf.update(configuration())
        app._backend_cache = None
        app._local = threading.local()
        yield sample_tasks
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    app.close()
    settings.cache_clear()


def native(plane: ControlPlane, task_type: str, task: str) -> dict[str, Any]:
    """The body of the recorded run."""
    return until_now(lambda: [one for one in plane.events(task, "native") if one.body["task_type"] == task_type])[
        0
    ].body


def test_direct_call_runs_the_function(sample: Any) -> None:
    assert sample.add(1, 2) == 3


def test_delay_returns_the_result_and_is_recorded(plane: ControlPlane, sample: Any) -> None:
    result = sample.add.delay(1, 2)
    assert result.get(timeout=DEADLINE_SECONDS) == 3
    body = native(plane, "sample.add", result.id)
    assert (body["state"], body["queue"]) == ("SUCCESS", "maintenance")
    assert body["run_seconds"] >= 0
    assert plane.claim(result.id) == {}


@pytest.mark.parametrize("compression", ["zlib", "bzip2", "lzma"])
def test_compressed_message_runs(sample: Any, compression: str) -> None:
    assert sample.add.apply_async((1, 2), compression=compression).get(timeout=DEADLINE_SECONDS) == 3


def test_native_failure_is_recorded_with_its_error(plane: ControlPlane, sample: Any) -> None:
    result = sample.native_error.delay()
    with pytest.raises(RuntimeError, match="plain celery failure"):
        result.get(timeout=DEADLINE_SECONDS)
    body = native(plane, "sample.native_error", result.id)
    assert body["state"] == "FAILURE"
    assert body["error"]["type"] == "RuntimeError"
    assert "sample_tasks.py" in body["error"]["traceback"]


def test_copy_that_a_plain_body_forked_ends_with_the_body(sample: Any, shared_worker: Worker) -> None:
    for call in (sample.forking.s("returns"), sample.forking_plain.s()):
        assert call.delay().get(timeout=DEADLINE_SECONDS) == "the parent, of one that ended with 0"
    assert len(psutil.Process(shared_worker.process.pid).children(recursive=True)) == len(shared_worker.children())


def test_chain_passes_results_on(sample: Any) -> None:
    assert chain(sample.add.s(1, 2), sample.add.s(10), sample.add.s(100)).delay().get(timeout=DEADLINE_SECONDS) == 113


def test_group_runs_all(sample: Any) -> None:
    assert group(sample.add.s(n, n) for n in range(4)).delay().get(timeout=DEADLINE_SECONDS) == [0, 2, 4, 6]


def test_chord_runs_its_body_on_all_results(plane: ControlPlane, sample: Any) -> None:
    result = chord((sample.add.s(n, 1) for n in range(3)), sample.total.s()).delay()
    assert result.get(timeout=DEADLINE_SECONDS) == 6
    assert native(plane, "sample.total", result.id)["state"] == "SUCCESS"
    assert not [one for one in plane.events(kind="native") if one.body["task_type"].startswith("celery.")]


def test_replaced_task_returns_the_replacement(plane: ControlPlane, sample: Any) -> None:
    result = sample.replace.delay()
    assert result.get(timeout=DEADLINE_SECONDS) == 3
    assert native(plane, "sample.replace", result.id)["state"] == "IGNORED"


def test_explicit_queue_is_used_with_its_own_priority(sample: Any) -> None:
    assert sample.place.apply_async(queue="critical").get(timeout=DEADLINE_SECONDS) == ["critical", 10]
    assert sample.place.apply_async(queue="email").get(timeout=DEADLINE_SECONDS) == ["email", 7]


def test_priority_ten_is_the_most_urgent(sample: Any) -> None:
    assert sample.priority.apply_async(priority=10).get(timeout=DEADLINE_SECONDS) == 10
    assert sample.priority.apply_async(priority=8).get(timeout=DEADLINE_SECONDS) == 8


def test_priority_outside_the_scale_is_refused(sample: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to 10"):
        sample.priority.apply_async(priority=11)


def test_native_retry_keeps_its_priority(plane: ControlPlane, sample: Any) -> None:
    result = sample.retry.apply_async(priority=8)
    assert result.get(timeout=DEADLINE_SECONDS) == [1, 8]
    until_now(lambda: len(plane.events(result.id, "native")) == 2, "two records")
    assert {event.body["state"] for event in plane.events(result.id, "native")} == {"RETRY", "SUCCESS"}


def test_chain_group_and_chord_keep_the_priority_of_each_part(sample: Any) -> None:
    urgent = sample.priority.s().set(priority=9)
    assert chain(urgent, sample.priority.s().set(priority=4)).delay().get(timeout=DEADLINE_SECONDS) == 4
    assert chain(urgent, sample.priority.s()).delay().get(timeout=DEADLINE_SECONDS) == 3
    assert group(urgent, sample.priority.s()).delay().get(timeout=DEADLINE_SECONDS) == [9, 3]
    total = sample.total.s().set(priority=6)
    assert chord([urgent, sample.priority.s().set(priority=2)], total).delay().get(timeout=DEADLINE_SECONDS) == 11
    assert chord([urgent, urgent], sample.place.si().set(priority=6)).delay().get(timeout=DEADLINE_SECONDS) == [
        "maintenance",
        6,
    ]


def test_queue_listed_first_is_emptied_first(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    _publish_in_no_order(own_plane, tmp_path)
    start_worker("-c", "1")
    ran = until_now(lambda: _ran(tmp_path), "all to run")
    assert ran == ["critical 10", "email 7", "reports 10", "reports 6", "maintenance 3", "maintenance 0"]


def test_more_urgent_message_comes_first_on_the_stock_transport(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    _publish_in_no_order(own_plane, tmp_path)
    start_worker("-c", "1", POINTSMAN_TRANSPORT="stock")
    ran = until_now(lambda: _ran(tmp_path), "all to run")
    assert [int(line.split()[1]) for line in ran] == [10, 10, 7, 6, 3, 0]


_IN_NO_ORDER = [("maintenance", 0), ("maintenance", 3), ("email", 7), ("reports", 6), ("critical", 10), ("reports", 10)]


def _publish_in_no_order(plane: ControlPlane, directory: Path) -> None:
    plane.declare(1)
    for queue, priority in _IN_NO_ORDER:
        name = f"{queue} {priority}"
        plane.publish("sample.note_order", str(directory / "order"), name, queue=queue, priority=priority)


def _ran(directory: Path) -> list[str]:
    """What ran, in order; nothing before all has run."""
    ledger = directory / "order"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return lines if len(lines) == len(_IN_NO_ORDER) else []


def test_sent_message_lies_on_the_list_of_its_step(own_plane: ControlPlane, sample: Any) -> None:
    app = sample.add.app
    with app.connection_for_write(own_plane.url) as connection:
        sample.add.apply_async((1, 2), queue="reports", connection=connection, ignore_result=True)
        sample.add.apply_async((1, 2), queue="reports", priority=10, connection=connection, ignore_result=True)
        sample.add.apply_async((1, 2), priority=0, connection=connection, ignore_result=True)
    assert own_plane.redis.llen(list_key("reports", 4)) == 1
    assert own_plane.redis.llen(list_key("reports", 0)) == 1
    assert own_plane.redis.llen(list_key("maintenance", 9)) == 1
