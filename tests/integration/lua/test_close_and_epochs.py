from pointsman_contract import keys

from .conftest import EPOCH, Scripts


async def test_a_task_nobody_claimed_closes(scripts: Scripts, task: str) -> None:
    assert await scripts.close(task) == b"closed"
    assert await scripts.close(task) == b"closed", "closing twice is closing"
    assert 0 < await scripts.claim_seconds(task) <= keys.CLAIM_SECONDS


async def test_a_running_task_does_not_close(scripts: Scripts, task: str) -> None:
    await scripts.gate(task)
    assert await scripts.close(task) == b"running"
    assert (await scripts.claim(task))["state"] == "running"


async def test_a_task_that_is_done_does_not_close(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t")
    assert await scripts.close(task) == b"done"


async def test_a_task_whose_failure_is_recorded_closes(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t", "failed")
    assert await scripts.close(task, after=1) == b"closed"
    assert (await scripts.gate(task, after=1))[0] == b"cancelled"


async def test_a_claim_closed_before_an_attempt_was_recorded_does_not_stop_the_next(
    scripts: Scripts, task: str
) -> None:
    assert await scripts.close(task) == b"closed"
    assert (await scripts.gate(task, after=0))[0] == b"cancelled"
    assert (await scripts.gate(task, after=1))[:2] == [b"run", 2]


async def test_a_claim_that_an_earlier_release_closed_stops_every_attempt(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.claim(task), "state", "closed", "reason", "cancelled", "token", "")
    assert (await scripts.gate(task, after=1))[0] == b"cancelled"


async def test_a_released_task_closes(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.claim(task), "state", "released", "attempt", 1)
    assert await scripts.close(task) == b"closed"


async def test_nothing_closes_for_another_epoch(scripts: Scripts, task: str) -> None:
    assert await scripts.close(task, epoch=EPOCH + 1) == b"wait"
    assert await scripts.claim(task) == {}


async def test_an_older_epoch_cannot_be_declared(scripts: Scripts) -> None:
    assert await scripts.declare(EPOCH - 1) == 0
    assert await scripts.declare(EPOCH + 1) == 1


async def test_a_declared_epoch_is_shut_until_it_is_opened(scripts: Scripts) -> None:
    await scripts.declare(EPOCH + 1)
    assert await scripts.server.command("HGET", keys.CONTROL, "open") == b"0"
    assert await scripts.open(EPOCH) == 0, "only the declared epoch opens"
    assert await scripts.open(EPOCH + 1) == 1


async def test_a_lost_claim_of_a_living_attempt_is_restored(shut: Scripts, task: str) -> None:
    await shut.declare()
    assert await shut.restore(task, 2, "t") == 1
    await shut.open()
    assert await shut.gate(task, after=1) == [b"duplicate"]
    assert (await shut.report(task, 2, "t"))[3] == b"0"


async def test_a_claim_that_stands_is_not_restored(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="new")
    assert await scripts.restore(task, 1, "old") == 0
    assert (await scripts.claim(task))["token"] == "new"


async def test_nothing_is_restored_for_another_epoch(scripts: Scripts, task: str) -> None:
    assert await scripts.restore(task, 1, "t", epoch=EPOCH - 1) == -1


async def test_nothing_closes_during_a_census(scripts: Scripts, task: str) -> None:
    """The claims of living workers may not be there yet."""
    await scripts.declare(EPOCH + 1)
    assert await scripts.close(task, epoch=EPOCH + 1) == b"wait"
    assert await scripts.claim(task) == {}


async def test_a_running_claim_of_an_attempt_that_is_over_closes(scripts: Scripts, task: str) -> None:
    """It came back with an old snapshot."""
    await scripts.gate(task, token="t")
    assert await scripts.close(task, after=1) == b"closed"


async def test_a_closed_claim_is_not_reopened_by_a_report_that_comes_twice(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t", "failed")
    assert await scripts.close(task, after=1) == b"closed"
    await scripts.report(task, 1, "t", "failed")
    assert (await scripts.gate(task, after=1))[0] == b"cancelled"


async def test_a_restored_claim_replaces_one_of_an_earlier_attempt_and_does_not_expire(
    scripts: Scripts, task: str
) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t", "failed")
    assert await scripts.restore(task, 2, "second") == 1
    assert (await scripts.claim(task))["attempt"] == "2"
    assert await scripts.claim_seconds(task) == -1
