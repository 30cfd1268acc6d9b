import asyncio
import math
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.callers import LOCAL
from pointsman_service.claims import closing
from pointsman_service.errors import TaskFinished, UnknownTask
from pointsman_service.operate.cancel import Canceller
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.redis import RedisServer
from tests.integration.spine import Spine, new_task
from tests.torture.proxy import Proxy

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "ValueError", "message": "no", "traceback": "Traceback …"}


async def submitted(spine: Spine, **changes: Any) -> UUID:
    task = new_task(**({"max_attempts": 4} | changes))
    await spine.commits.join(task)
    await spine.commits.drain()
    return UUID(task.id)


async def cancel(spine: Spine, task_id: UUID, grace_seconds: float = 10.0) -> str:
    return str((await Canceller(spine.store, spine.server).cancel(LOCAL, task_id, grace_seconds)).row["state"])


async def asked(spine: Spine, task_id: UUID) -> str | None:
    """The grace time that stands in the claim."""
    found = await spine.server.command("HGET", keys.claim(str(task_id)), "cancel")
    return None if found is None else found.decode()


async def sweep(spine: Spine) -> None:
    await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()


async def taken(spine: Spine) -> dict[str, Any]:
    message = await spine.message(MAINTENANCE)
    assert message is not None
    return message


async def test_a_scheduled_task_is_cancelled_at_once(spine: Spine) -> None:
    task = await submitted(spine, delay_seconds=3600.0)
    assert await cancel(spine, task) == "cancelled"
    assert await spine.rows("SELECT id FROM task_live") == []
    assert await spine.counters() == {"submitted": 1, "cancelled": 1}


async def test_a_sent_task_is_cancelled_and_its_message_never_runs(spine: Spine) -> None:
    task = await submitted(spine)
    assert await cancel(spine, task) == "cancelled"
    assert await spine.gate(await taken(spine)) == [b"cancelled"]
    await spine.record_all()
    assert await spine.counters() == {"submitted": 1, "cancelled": 1}


async def test_cancelling_again_changes_nothing(spine: Spine) -> None:
    task = await submitted(spine)
    assert [await cancel(spine, task) for _ in range(3)] == ["cancelled"] * 3
    assert (await spine.counters())["cancelled"] == 1


async def test_a_running_attempt_that_fails_ends_the_task_as_cancelled(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    assert await cancel(spine, task) == "running"
    await sweep(spine)
    assert await spine.rows("SELECT state, cancel_requested_at IS NOT NULL AS asked FROM task_live") == [
        {"state": "running", "asked": True}
    ]
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "cancelled", "attempt": 1}]
    counted = {"submitted": 1, "started": 1, "executions": 1, "cancelled": 1, "sla_met": 1}
    assert await spine.counters() == counted


async def test_the_last_failure_after_a_request_is_a_cancel_too(spine: Spine) -> None:
    task = await submitted(spine, max_attempts=1)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    await cancel(spine, task)
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state, error_type FROM task") == [
        {"state": "cancelled", "error_type": "ValueError"}
    ]


async def test_a_running_attempt_is_asked_to_end_in_its_claim(spine: Spine) -> None:
    task = await submitted(spine)
    await spine.gate(await taken(spine))
    # Its start is not recorded: the row says queued, the claim says that it runs.
    async with spine.recording():
        assert await cancel(spine, task, 2.5) in ("queued", "running")
    assert await asked(spine, task) == "2.5"
    await spine.record_all()
    assert await cancel(spine, task, 0.0) == "running"
    assert await asked(spine, task) == "0.0"


async def test_the_request_is_repeated_after_redis_forgot_it(spine: Spine) -> None:
    task = await submitted(spine)
    await spine.gate(await taken(spine))
    await spine.record_all()
    await cancel(spine, task, 4.0)
    await spine.server.command("HDEL", keys.claim(str(task)), "cancel")
    await sweep(spine)
    assert await asked(spine, task) == "4.0"


async def test_a_request_to_leave_it_alone_takes_back_that_it_would_be_killed(spine: Spine) -> None:
    task = await submitted(spine)
    await spine.gate(await taken(spine))
    await spine.record_all()
    await cancel(spine, task, 4.0)
    await cancel(spine, task, math.inf)
    assert await asked(spine, task) == "inf"


async def test_an_attempt_that_is_to_be_left_alone_is_not_asked(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    assert await cancel(spine, task, math.inf) == "running"
    await sweep(spine)
    assert await asked(spine, task) is None
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "cancelled"}]


async def test_a_claim_that_nobody_runs_is_not_asked(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message))
    answer = await spine.server.script("cancel", [keys.CONTROL, keys.claim(str(task))], [1], [5.0])
    assert answer == b"done"
    assert await asked(spine, task) is None


async def test_what_is_to_be_cancelled_is_neither_woken_nor_sent(spine: Spine) -> None:
    await submitted(spine, delay_seconds=3600.0)
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), due_at = now()")
    await DueSweep(spine.store, spine.settings).single_pass()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "asleep"}]
    await spine.run("UPDATE task_live SET place = 'waiting', state = 'queued'")
    await spine.dispatcher.single_pass()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "waiting"}]


async def test_a_running_attempt_that_succeeds_after_the_request_has_succeeded(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    # The start is not recorded yet: only the claim knows that it runs.
    await spine.report(message, verdict)
    with pytest.raises(TaskFinished, match="succeeded"):
        async with spine.recording():
            await cancel(spine, task)
    assert (await spine.counters())["succeeded"] == 1


async def test_a_task_that_waits_for_its_next_attempt_is_cancelled(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message), "failed", error=ERROR, retry_in_seconds=60.0)
    await spine.record_all()
    assert await cancel(spine, task) == "cancelled"
    (row,) = await spine.rows("SELECT state, attempt, sla_met FROM task")
    assert row == {"state": "cancelled", "attempt": 1, "sla_met": True}


async def test_a_request_while_redis_is_away_is_done_later(spine: Spine) -> None:
    task = await submitted(spine)
    epoch = await spine.server.command("HGET", keys.CONTROL, "epoch")
    # An epoch that the control plane does not know: no claim can be closed.
    await spine.server.command("HSET", keys.CONTROL, "epoch", int(epoch) + 7)
    assert await cancel(spine, task) == "queued"
    await spine.server.command("HSET", keys.CONTROL, "epoch", epoch)
    await sweep(spine)
    assert await spine.rows("SELECT state FROM task") == [{"state": "cancelled"}]


async def test_a_sent_task_does_not_start_after_its_cancel_was_answered_though_the_recorder_is_behind(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_TAIL_SECONDS", 0.05)
    await spine.append("progress", str(uuid4()), attempt=1)
    task = await submitted(spine)
    message = await taken(spine)
    answer = await Canceller(spine.store, spine.server).cancel(LOCAL, task, 10.0)
    assert (answer.row["state"], answer.told) == ("queued", True)
    assert await spine.gate(message) == [b"cancelled"]
    await sweep(spine)
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "queued"}], "its row ended unrecorded"
    await spine.record_all()
    await sweep(spine)
    assert await spine.counters() == {"submitted": 1, "cancelled": 1}


async def test_a_task_that_ran_and_was_forgotten_before_it_was_recorded_is_not_cancelled(spine: Spine) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message))
    # The recorder is ten minutes behind: nobody but the stream knows that it succeeded.
    await spine.server.command("DEL", keys.claim(str(task)))
    assert (await Canceller(spine.store, spine.server).cancel(LOCAL, task, 10.0)).told
    await spine.record_all()
    await sweep(spine)
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_an_answer_says_when_the_gate_could_not_be_told(spine: Spine) -> None:
    task = await submitted(spine)
    epoch = await spine.server.command("HGET", keys.CONTROL, "epoch")
    await spine.server.command("HSET", keys.CONTROL, "epoch", int(epoch) + 7)
    assert not (await Canceller(spine.store, spine.server).cancel(LOCAL, task, 10.0)).told
    await spine.server.command("HSET", keys.CONTROL, "epoch", epoch)
    assert (await Canceller(spine.store, spine.server).cancel(LOCAL, task, 10.0)).told


async def test_a_silent_redis_keeps_a_caller_no_longer_than_three_seconds(spine: Spine, redis_url: str) -> None:
    task = await submitted(spine)
    with Proxy.to_port(urlsplit(redis_url).port or 0) as proxy:
        server = RedisServer(f"redis://127.0.0.1:{proxy.port}{urlsplit(redis_url).path}", 0.3)
        await server.command("PING")
        proxy.freeze()
        async with asyncio.timeout(3.5):
            answer = await Canceller(spine.store, server).cancel(LOCAL, task, 10.0)
        assert (answer.row["state"], answer.told) == ("queued", False)
        await server.close()
    await sweep(spine)
    assert await spine.rows("SELECT state FROM task") == [{"state": "cancelled"}]


async def test_what_a_dead_process_left_half_cancelled_is_finished(spine: Spine) -> None:
    """Killed between the claim and the row."""
    task = await submitted(spine)
    await spine.run("UPDATE task_live SET cancel_requested_at = now()")
    epoch = await spine.server.command("HGET", keys.CONTROL, "epoch")
    await spine.server.script(
        "close", [keys.CONTROL, keys.claim(str(task))], [int(epoch)], ["cancelled", keys.CLAIM_SECONDS, 0]
    )
    await sweep(spine)
    assert await spine.rows("SELECT state FROM task") == [{"state": "cancelled"}]


async def test_an_unknown_task_and_a_finished_one_are_told_apart(spine: Spine) -> None:
    with pytest.raises(UnknownTask):
        await cancel(spine, uuid4())
    task = await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    with pytest.raises(TaskFinished, match="succeeded"):
        await cancel(spine, task)
