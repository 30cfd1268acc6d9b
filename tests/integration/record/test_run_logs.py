"""What runs wrote, from the stream in Redis to rows beside their attempts."""

import json
from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_contract.run_log import ATTEMPT_BYTES, LINES_SECONDS, MEMORY_PERCENT, MOST_ENTRIES
from pointsman_service.errors import ExpectedFault
from pointsman_service.record import run_logs
from pointsman_service.record.run_logs import RunLogRecorder
from pointsman_service.redis import BrokerAway
from pointsman_service.store.streams import left_out
from pointsman_service.store.streams.left_out import Reason
from pointsman_service.store.tasks import run_logs as stored_lines
from pointsman_service.store.tasks.run_logs import Lines
from tests.integration.spine import Spine, new_task


def lines(*texts: str) -> str:
    return json.dumps([[1_700_000_000.5, "info", "tests", text] for text in texts])


@pytest.fixture
async def recorder(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> RunLogRecorder:
    """One that waits for nothing; it has said that it reads."""
    monkeypatch.setattr(run_logs, "_REST_SECONDS", 0.0)
    made = RunLogRecorder(spine.store, spine.server, spine.settings.model_copy(update={"record_wait_seconds": 0.001}))
    await made.single_pass()
    return made


async def stored(spine: Spine) -> str:
    """The id of a task that is there."""
    task = new_task()
    await spine.commits.join(task)
    await spine.commits.drain()
    return task.id


async def append(
    spine: Spine, task: str, *texts: str, attempt: Any = 1, run: str = "a1", first: int = 1, last: int = 0, **given: Any
) -> list[Any]:
    """What the script answers to a worker that sends lines."""
    told: dict[str, Any] = {"count": len(texts), "text": lines(*texts)} | given
    tail = [task, attempt, run, first, told["count"], last, told["text"], MOST_ENTRIES, MEMORY_PERCENT, LINES_SECONDS]
    answer: list[Any] = await spine.server.script("append_lines", [keys.CONTROL, keys.LINES], [], tail)
    return answer


async def rows(spine: Spine) -> list[tuple[Any, ...]]:
    found = await spine.rows("SELECT attempt, run, first_line, line_count, is_last, lines FROM run_log ORDER BY id")
    return [tuple(row.values()) for row in found]


async def waiting(spine: Spine) -> int:
    found: int = await spine.server.command("XLEN", keys.LINES)
    return found


async def test_lines_are_kept_beside_their_attempt_and_leave_redis(spine: Spine, recorder: RunLogRecorder) -> None:
    task = await stored(spine)
    await append(spine, task, "one", "two")
    await append(spine, task, "three", first=3, last=1)
    await append(spine, task, "again", attempt=2)
    await recorder.single_pass()
    assert await rows(spine) == [
        (1, "a1", 1, 2, False, lines("one", "two")),
        (1, "a1", 3, 1, True, lines("three")),
        (2, "a1", 1, 1, False, lines("again")),
    ]
    assert await waiting(spine) == 0


async def test_lines_that_come_twice_are_there_once(spine: Spine, recorder: RunLogRecorder) -> None:
    task = await stored(spine)
    await append(spine, task, "one")
    await append(spine, task, "one")
    await recorder.single_pass()
    await append(spine, task, "one")
    await append(spine, task, "two", first=2)
    await recorder.single_pass()
    assert [row[2] for row in await rows(spine)] == [1, 2]


async def test_recorder_that_dies_after_its_commit_writes_nothing_twice(
    spine: Spine, recorder: RunLogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise BrokerAway("gone")

    task = await stored(spine)
    await append(spine, task, "one")
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_forget", away)
        with pytest.raises(BrokerAway):
            await recorder.single_pass()
    assert await waiting(spine) == 1
    await RunLogRecorder(spine.store, spine.server, spine.settings).single_pass()
    assert len(await rows(spine)) == 1
    assert await waiting(spine) == 0


async def test_two_that_write_at_once_write_one_after_the_other(spine: Spine, recorder: RunLogRecorder) -> None:
    task = await stored(spine)
    await append(spine, task, "one")
    async with spine.store.transaction() as connection:
        other = Lines(task, 1, "b", 1, 0, True, "[]")
        assert await stored_lines.add(connection, [other])
        await recorder.single_pass()
        assert await waiting(spine) == 1
    await recorder.single_pass()
    assert [row[1] for row in await rows(spine)] == ["b", "a1"]


async def test_newest_lines_of_an_attempt_stay(spine: Spine, recorder: RunLogRecorder) -> None:
    task = await stored(spine)
    for number in range(12):
        await append(spine, task, "x" * 8000, first=number + 1)
    await append(spine, task, "y", attempt=2)
    await recorder.single_pass()
    for number in range(12, 16):
        await append(spine, task, "x" * 8000, first=number + 1)
    await recorder.single_pass()
    found = await rows(spine)
    first = [row[2] for row in found if row[0] == 1]
    assert first == list(range(first[0], 17))
    assert ATTEMPT_BYTES - 8200 < sum(len(row[5]) for row in found if row[0] == 1) <= ATTEMPT_BYTES
    assert [row[5] for row in found if row[0] == 2] == [lines("y")]


async def test_lines_of_a_task_that_is_not_there_are_not_kept(spine: Spine, recorder: RunLogRecorder) -> None:
    await append(spine, new_task().id, "whose")
    await recorder.single_pass()
    assert await rows(spine) == []
    assert await waiting(spine) == 0


async def test_entry_without_fields_or_of_any_size_makes_nothing_wait(spine: Spine, recorder: RunLogRecorder) -> None:
    task = await stored(spine)
    await append(spine, task, "bad", text="[[")
    await spine.server.command("XADD", keys.LINES, "*", "lines", "x" * 2_000_000)
    await append(spine, task, "good")
    for _ in range(3):
        await recorder.single_pass()
    assert [row[5] for row in await rows(spine)] == [lines("good")]
    async with spine.store.statement() as connection:
        counts = await left_out.counts(connection)
    assert (counts[Reason.UNREADABLE], counts[Reason.TOO_LONG]) == (1, 1)


async def test_row_that_is_refused_is_left_out_alone(
    spine: Spine, recorder: RunLogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await stored(spine)
    for number in range(5):
        await append(spine, task, f"line {number}", first=number + 1)
    add = stored_lines.add

    async def refuse(connection: Any, entries: Any) -> bool:
        if any("line 2" in entry.lines for entry in entries):
            raise ValueError("not this one")
        return await add(connection, entries)

    monkeypatch.setattr(stored_lines, "add", refuse)
    await recorder.single_pass()
    assert [row[2] for row in await rows(spine)] == [1, 2, 4, 5]
    assert await waiting(spine) == 0
    async with spine.store.statement() as connection:
        assert (await left_out.counts(connection))[Reason.REFUSED] == 1


async def test_pass_takes_a_bounded_part(
    spine: Spine, recorder: RunLogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await stored(spine)
    for number in range(10):
        await append(spine, task, "x" * 1000, first=number + 1)
    monkeypatch.setattr(run_logs, "_BYTES_A_PASS", 3500)
    assert await recorder.single_pass()
    assert len(await rows(spine)) == 3
    monkeypatch.setattr(run_logs, "_ENTRIES_A_PASS", 2)
    assert await recorder.single_pass()
    assert len(await rows(spine)) == 5


async def test_redis_takes_no_lines_that_nobody_reads(spine: Spine) -> None:
    # As with a service of the release before.
    task = await stored(spine)
    assert await append(spine, task, "one") == [b"no", b"nobody reads them"]
    assert await waiting(spine) == 0


async def test_redis_takes_no_lines_while_memory_is_short_or_too_many_wait(
    spine: Spine, recorder: RunLogRecorder
) -> None:
    task = await stored(spine)
    await spine.server.command("HSET", keys.CONTROL, "memory_percent", MEMORY_PERCENT)
    assert await append(spine, task, "one") == [b"no", b"memory is short"]
    await spine.server.command("HSET", keys.CONTROL, "memory_percent", MEMORY_PERCENT - 1)
    assert await append(spine, task, "one") == [b"ok"]
    many = [("XADD", keys.LINES, "*", "x", "y")] * (MOST_ENTRIES - 1)
    await spine.server.pipeline(many)
    assert await append(spine, task, "two") == [b"no", b"too many wait"]
    assert 0 < await spine.server.command("TTL", keys.LINES) <= LINES_SECONDS


async def test_readers_are_said_again_in_a_new_epoch_and_not_before_the_first(
    closed_spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_logs, "_REST_SECONDS", 0.0)
    settings = closed_spine.settings.model_copy(update={"record_wait_seconds": 0.001})
    recorder = RunLogRecorder(closed_spine.store, closed_spine.server, settings)
    await recorder.single_pass()
    assert await closed_spine.server.command("EXISTS", keys.CONTROL) == 0
    await closed_spine.open_epoch()
    await recorder.single_pass()
    assert await closed_spine.server.command("HGET", keys.CONTROL, "lines") == b"1"


async def test_nothing_is_lost_of_what_waits_while_the_database_is_away(
    spine: Spine, recorder: RunLogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(ExpectedFault):
        pass

    async def away(*_: Any) -> bool:
        raise Away("the database")

    task = await stored(spine)
    await append(spine, task, "one")
    with monkeypatch.context() as patch:
        patch.setattr(stored_lines, "add", away)
        with pytest.raises(Away):
            await recorder.single_pass()
    assert await waiting(spine) == 1
    await recorder.single_pass()
    assert len(await rows(spine)) == 1
