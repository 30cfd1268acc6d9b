import pytest

from pointsman_contract import keys

from .conftest import EPOCH, Scripts


async def test_a_young_message_without_a_claim_runs_as_the_next_attempt(scripts: Scripts, task: str) -> None:
    verdict, attempt, epoch, started_at, _ = await scripts.gate(task, after=2, token="t", owner="o")
    assert (verdict, attempt, epoch) == (b"run", 3, str(EPOCH).encode())
    claim = await scripts.claim(task)
    assert (claim["state"], claim["attempt"], claim["token"], claim["owner"]) == ("running", "3", "t", "o")
    assert claim["started_at"] == started_at.decode()
    assert await scripts.claim_seconds(task) == -1, "a running claim does not expire"
    (event,) = await scripts.events()
    assert (event["kind"], event["task"], event["attempt"]) == ("started", task, "3")
    assert event["at"] == started_at.decode()


async def test_a_second_message_of_a_running_attempt_is_a_duplicate(scripts: Scripts, task: str) -> None:
    await scripts.gate(task)
    assert await scripts.gate(task) == [b"duplicate"]
    assert await scripts.kinds() == ["started", "duplicate"]


async def test_the_same_call_again_gets_the_same_answer_and_no_second_event(scripts: Scripts, task: str) -> None:
    first = await scripts.gate(task, token="t")
    assert await scripts.gate(task, token="t") == first
    assert await scripts.kinds() == ["started"]


async def test_a_message_of_an_attempt_that_is_done_is_a_duplicate(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t")
    assert await scripts.gate(task) == [b"duplicate"]


async def test_the_next_attempt_runs_after_one_that_is_done(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t", "failed")
    answer = await scripts.gate(task, after=1)
    assert answer[:2] == [b"run", 2]
    assert await scripts.claim_seconds(task) == -1


async def test_a_released_claim_runs_past_its_attempt(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.claim(task), "state", "released", "attempt", 4)
    assert (await scripts.gate(task, after=4))[:2] == [b"run", 5]


@pytest.mark.parametrize("reason", ["cancelled", "expired"])
async def test_a_closed_claim_says_why(scripts: Scripts, task: str, reason: str) -> None:
    assert await scripts.close(task, reason) == b"closed"
    assert await scripts.gate(task) == [reason.encode()]
    assert await scripts.kinds() == []


async def test_a_message_of_another_epoch_asks(scripts: Scripts, task: str) -> None:
    assert await scripts.gate(task, epoch=EPOCH - 1) == [b"ask"]
    assert await scripts.kinds() == ["ask"]
    assert await scripts.claim(task) == {}


async def test_the_same_call_again_after_a_restart_gets_the_same_answer(scripts: Scripts, task: str) -> None:
    first = await scripts.gate(task, token="t")
    await scripts.declare(EPOCH + 1)
    await scripts.open(EPOCH + 1)
    assert (await scripts.gate(task, token="t"))[:2] == first[:2]


async def test_an_old_message_without_a_claim_asks(scripts: Scripts, task: str) -> None:
    old = await scripts.now() - keys.ASK_SECONDS - 1
    assert await scripts.gate(task, sent_at=old) == [b"ask"]
    assert await scripts.claim(task) == {}


async def test_an_old_message_with_a_released_claim_runs(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.claim(task), "state", "released", "attempt", 1)
    old = await scripts.now() - keys.ASK_SECONDS - 1
    assert (await scripts.gate(task, after=1, sent_at=old))[:2] == [b"run", 2]


async def test_a_task_past_its_expiry_never_starts(scripts: Scripts, task: str) -> None:
    assert await scripts.gate(task, expires_at=await scripts.now()) == [b"expired"]
    assert await scripts.kinds() == ["expired"]
    claim = await scripts.claim(task)
    assert (claim["state"], claim["reason"]) == ("closed", "expired")
    assert 0 < await scripts.claim_seconds(task) <= keys.CLAIM_SECONDS


async def test_a_task_before_its_expiry_runs(scripts: Scripts, task: str) -> None:
    assert (await scripts.gate(task, expires_at=await scripts.now() + 60))[0] == b"run"


async def test_everything_waits_without_an_epoch(shut: Scripts, task: str) -> None:
    assert await shut.gate(task) == [b"wait", b"epoch"]


async def test_everything_waits_during_a_census(shut: Scripts, task: str) -> None:
    await shut.declare()
    assert await shut.gate(task) == [b"wait", b"epoch"]


async def test_everything_waits_on_data_of_another_server(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.CONTROL, "run_id", "a server before this one")
    assert await scripts.gate(task) == [b"wait", b"epoch"]


async def test_everything_waits_while_the_recorder_is_far_behind(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t")
    assert await scripts.gate(task, longest_stream=2) == [b"wait", b"stream"]
    assert (await scripts.gate(task, after=1, longest_stream=3))[0] == b"run"


async def test_everything_waits_when_memory_is_short(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.CONTROL, "memory_percent", 85)
    assert await scripts.gate(task) == [b"wait", b"memory"]


async def test_a_running_claim_that_came_back_with_old_data_does_not_stop_the_next_attempt(
    scripts: Scripts, task: str
) -> None:
    await scripts.gate(task, token="first")
    verdict = await scripts.gate(task, after=1, token="second")
    assert verdict[:2] == [b"run", 2]
