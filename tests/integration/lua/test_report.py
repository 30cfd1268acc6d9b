from pointsman_contract import keys

from .conftest import EPOCH, Scripts


async def test_an_outcome_finishes_its_claim(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    status, epoch, stream_id, late = await scripts.report(task, 1, "t")
    assert (status, epoch, late) == (b"ok", str(EPOCH).encode(), b"0")
    assert (await scripts.claim(task))["state"] == "done"
    assert 0 < await scripts.claim_seconds(task) <= keys.CLAIM_SECONDS
    entries = await scripts.server.command("XRANGE", keys.events(EPOCH), "-", "+")
    assert entries[-1][0] == stream_id


async def test_an_outcome_of_a_rescued_attempt_is_late_and_leaves_the_claim(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.server.command("HSET", keys.claim(task), "state", "running", "attempt", 2, "token", "other")
    assert (await scripts.report(task, 1, "t", "failed"))[3] == b"1"
    claim = await scripts.claim(task)
    assert (claim["state"], claim["token"]) == ("running", "other")
    event = (await scripts.events())[-1]
    assert (event["kind"], event["attempt"], event["late"]) == ("failed", "1", "1")


async def test_an_outcome_whose_claim_was_lost_leaves_a_finished_one(scripts: Scripts, task: str) -> None:
    assert (await scripts.report(task, 1, "t"))[3] == b"0"
    assert (await scripts.claim(task))["state"] == "done"
    assert await scripts.restore(task, 1, "t") == 0, "a beat that is behind does not bring it back"


async def test_an_outcome_is_taken_during_a_census(shut: Scripts, task: str) -> None:
    await shut.declare()
    assert (await shut.report(task, 1, "t"))[0] == b"ok"


async def test_an_outcome_waits_without_an_epoch(shut: Scripts, task: str) -> None:
    assert await shut.report(task, 1, "t") == [b"wait"]


async def test_an_outcome_waits_on_data_of_another_server(scripts: Scripts, task: str) -> None:
    await scripts.server.command("HSET", keys.CONTROL, "run_id", "a server before this one")
    assert await scripts.report(task, 1, "t") == [b"wait"]
    assert await scripts.kinds() == []


async def test_an_outcome_is_not_late_because_redis_came_back_with_an_earlier_claim(
    scripts: Scripts, task: str
) -> None:
    await scripts.gate(task, token="first")
    await scripts.report(task, 1, "first", "failed")
    await scripts.report(task, 2, "second", "failed")
    assert [event["late"] for event in await scripts.events()] == ["0", "0", "0"]
    assert (await scripts.claim(task))["attempt"] == "2"
