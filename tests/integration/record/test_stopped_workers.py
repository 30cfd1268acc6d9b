"""An attempt that ended because its node was stopped: no attempt is spent, and nobody is to blame."""

from typing import Any

from pointsman_contract.dependencies import breakers_of
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.cancelled import CancelledSweep
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "Interrupted", "message": "its worker was stopped while it ran", "traceback": ""}


async def begun(spine: Spine, **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    await spine.commits.join(new_task(**changes))
    await spine.commits.drain()
    return await again(spine, "token")


async def again(spine: Spine, token: str) -> tuple[dict[str, Any], list[Any]]:
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, token=token)
    assert verdict[0] == b"run"
    return message, verdict


async def stop(spine: Spine, message: dict[str, Any], verdict: list[Any], token: str = "token") -> None:
    breakers = dict.fromkeys(breakers_of(message["headers"]["task"], ()))
    told: dict[str, Any] = {"interrupted": True, "retry_in_seconds": 0.0, "error": ERROR, "breakers": breakers}
    await spine.report(message, verdict, "failed", token, **told)
    await spine.record_all()


async def test_a_last_attempt_whose_node_is_stopped_runs_again_at_once(spine: Spine) -> None:
    message, verdict = await begun(spine, max_attempts=1)
    await stop(spine, message, verdict)
    assert await spine.rows("SELECT state, place, attempt, interruptions FROM task_live") == [
        {"state": "queued", "place": "waiting", "attempt": 1, "interruptions": 1}
    ]
    assert await spine.rows("SELECT attempt, error_type, error_message FROM task_attempt") == [
        {"attempt": 1, "error_type": "Interrupted", "error_message": "its worker was stopped while it ran"}
    ]
    second, verdict = await again(spine, "again")
    header = second["headers"]["pointsman"]
    assert (header["after"], header["max_attempts"], header["interruptions"]) == (1, 2, 1)
    await spine.report(second, verdict, token="again")
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt, interruptions FROM task") == [
        {"state": "succeeded", "attempt": 2, "interruptions": 1}
    ]
    counted = await spine.counters()
    assert (counted["started"], counted["interrupted"], counted["executions"]) == (2, 1, 1)
    assert not counted.keys() & {"failed", "retried"}
    assert await spine.rows("SELECT worker FROM worker_outcome WHERE failures > 0") == []
    assert await spine.rows("SELECT name FROM breaker WHERE seen <> 'closed'") == []


async def test_a_task_that_is_stopped_again_and_again_is_never_quarantined(spine: Spine) -> None:
    message, verdict = await begun(spine, max_attempts=1)
    for turn in range(8):
        await stop(spine, message, verdict, "token" if not turn else str(turn))
        message, verdict = await again(spine, str(turn + 1))
    assert await spine.rows("SELECT interruptions, interrupted_in_a_row FROM task_live") == [
        {"interruptions": 8, "interrupted_in_a_row": 0}
    ]


async def test_an_interruption_that_is_told_twice_counts_once(spine: Spine) -> None:
    message, verdict = await begun(spine)
    await stop(spine, message, verdict)
    counted = await spine.counters()
    await stop(spine, message, verdict)
    assert await spine.counters() == counted
    assert await spine.rows("SELECT interruptions FROM task_live") == [{"interruptions": 1}]


async def test_a_success_that_was_reported_before_the_stop_ends_the_task(spine: Spine) -> None:
    message, verdict = await begun(spine)
    await spine.report(message, verdict)
    await stop(spine, message, verdict)
    assert await spine.rows("SELECT state, interruptions FROM task") == [{"state": "succeeded", "interruptions": 0}]


async def test_a_cancelled_task_whose_node_is_stopped_does_not_run_again(spine: Spine) -> None:
    message, verdict = await begun(spine)
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 10")
    await stop(spine, message, verdict)
    await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "cancelled", "attempt": 1}]
