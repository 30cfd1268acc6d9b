import asyncio
import time

import pytest

from pointsman_service.observe import kept as kept_module
from pointsman_service.observe.kept import Kept, NotInTime, asked_after, within


class Question:
    """Counts how often it is asked, and answers when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.asked


@pytest.fixture
async def question() -> Question:
    return Question()


async def test_all_who_ask_meanwhile_share_one_question(question: Question) -> None:
    kept = Kept(question, seconds=60)
    askers = [asyncio.create_task(kept.get()) for _ in range(5)]
    question.go.set()

    assert await asyncio.gather(*askers) == [1] * 5
    assert await kept.get() == 1


async def test_answer_is_asked_again_when_old(question: Question) -> None:
    kept = Kept(question, seconds=0)
    question.go.set()

    assert [await kept.get(), await kept.get()] == [1, 2]


async def test_error_reaches_the_asker_and_is_not_kept(question: Question) -> None:
    kept = Kept(question, seconds=60)
    question.go.set()
    question.error = RuntimeError("no")
    with pytest.raises(RuntimeError):
        await kept.get()
    question.error = None

    assert await kept.get() == 2


async def test_asker_that_goes_away_takes_nobody_with_it(question: Question) -> None:
    kept = Kept(question, seconds=60)
    first = asyncio.create_task(kept.get())
    second = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    question.go.set()

    assert await second == 1
    assert question.asked == 1


async def test_question_without_an_answer_is_given_up(question: Question) -> None:
    with pytest.raises(NotInTime):
        await within(0.01, question())


async def test_question_that_ignores_its_cancellation_is_not_waited_for() -> None:
    never = asyncio.Event()
    done = asyncio.Event()

    async def stubborn() -> None:
        try:
            await never.wait()
        except asyncio.CancelledError:
            await done.wait()

    with pytest.raises(NotInTime):
        await within(0.01, stubborn())
    done.set()


async def test_error_within_the_time_is_raised() -> None:
    async def broken() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await within(1, broken())


async def test_who_knows_that_something_changed_is_not_told_what_was_before(question: Question) -> None:
    kept, slow = Kept(question, seconds=2), Kept(question, seconds=60)
    question.go.set()
    assert [await kept.get(), await slow.get()] == [1, 2]
    with asked_after(time.monotonic()):
        assert await kept.get() == 3
        assert await kept.get() == 3
        # What is kept for longer is not about moments.
        assert await slow.get() == 2
    assert await kept.get() == 3


async def test_a_question_under_way_before_the_change_is_asked_again(question: Question) -> None:
    kept = Kept(question, seconds=2)
    before = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    with asked_after(time.monotonic()):
        after = [asyncio.create_task(kept.get()) for _ in range(3)]
        await asyncio.sleep(0)
    question.go.set()
    assert await before == 1
    assert await asyncio.gather(*after) == [2, 2, 2]


async def test_a_question_that_must_rest_is_not_asked_before_its_time(question: Question) -> None:
    kept = Kept(question, seconds=1, rest=1e9)
    question.go.set()
    assert await kept.get() == 1
    with asked_after(time.monotonic()):
        assert await kept.get() == 1


async def test_a_question_that_hangs_is_waited_for_once(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_LEAST_SECONDS", 0.01)
    monkeypatch.setattr(kept_module, "_LATE_SECONDS", 0.0)
    kept = Kept(question, seconds=0)
    with pytest.raises(NotInTime):
        await kept.soon(0.05)
    for _ in range(3):
        # Who would wait for an hour is told at once, and nobody asks again.
        with pytest.raises(NotInTime, match="within 3600 s"):
            await kept.soon(3600)
    assert question.asked == 1

    # What hung so long and then broke does not make the next one worth waiting for.
    await _end(question, kept, OSError("gone"))
    with pytest.raises(NotInTime):
        await kept.soon(3600)
    assert question.asked == 2

    # An answer does, though nobody was there to hear it.
    await _end(question, kept, None)
    question.go.set()
    assert await kept.soon(3600) == 3


async def test_what_breaks_at_once_is_told_to_who_asks_soon(question: Question) -> None:
    kept = Kept(question, seconds=0)
    question.go.set()
    question.error = RuntimeError("refused")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="refused"):
            await kept.soon(3600)


async def _end(question: Question, kept: Kept[int], error: Exception | None) -> None:
    """The question that is under way ends so."""
    asking = kept._asking
    assert asking is not None
    question.error = error
    question.go.set()
    await asyncio.wait([asking])
    question.go.clear()
