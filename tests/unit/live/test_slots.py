import asyncio
from datetime import UTC, datetime

from pointsman_service.live.slots import MESSAGE_SECONDS, Slot
from pointsman_service.live.task_changes import TaskListener, TaskMatch, Told
from pointsman_service.store.changes import Mark
from tests.unit.live.followed import change

SOON = 10.0
MARK = Mark(1.0, 5, 7)


async def test_two_messages_lie_half_a_second_apart_and_the_first_comes_at_once() -> None:
    slot = Slot[int]()
    clock = asyncio.get_running_loop().time
    began = clock()
    slot.offer(1)
    assert await slot.next(SOON) == 1
    assert clock() - began < MESSAGE_SECONDS / 2
    slot.offer(2)
    slot.offer(3)
    assert await slot.next(SOON) == 3
    assert clock() - began >= MESSAGE_SECONDS


async def test_nothing_comes_before_its_time_is_over() -> None:
    slot = Slot[int]()
    assert await slot.next(0.01) is None
    assert not slot.over


async def test_what_was_in_a_slot_that_ends_is_still_told_and_nothing_is_waited_for() -> None:
    slot = Slot[int]()
    slot.offer(1)
    assert await slot.next(SOON) == 1
    slot.offer(2)
    slot.end()
    assert [await slot.next(SOON), await slot.next(SOON), await slot.await_news()] == [2, None, None]
    assert slot.over


def told(*numbers: int, state: str = "queued", left_out: int = 0, reset: bool = False) -> Told:
    return Told([change(number, state=state) for number in numbers], left_out, MARK, reset=reset)


async def test_a_slow_listener_is_told_the_newest_of_each_task_and_how_many_are_left_out() -> None:
    listener = TaskListener(TaskMatch())
    listener.offer(told(1, 2, left_out=3, reset=True))
    listener.offer(told(2, 3, state="running"))
    listener.offer(told(4, state="succeeded", left_out=1))
    merged = await listener.next(SOON)
    assert merged is not None
    assert [(one.task.id.int, one.task.state) for one in merged.changes] == [(3, "running"), (4, "succeeded")]
    assert (merged.left_out, merged.reset) == (6, True)


async def test_what_waits_for_a_slow_listener_does_not_grow() -> None:
    listener = TaskListener(TaskMatch())
    for number in range(1000):
        listener.offer(told(2 * number, 2 * number + 1))
    merged = await listener.next(SOON)
    assert merged is not None
    assert (len(merged.changes), merged.left_out) == (2, 1998)


def test_a_message_is_made_once_for_all_who_are_shown_it() -> None:
    message, made = told(1), []

    def render(shown: Told) -> str:
        made.append(shown)
        return f"{len(shown.changes)}"

    assert (message.once(render), message.once(render), made) == ("1", "1", [message])


def test_a_mark_is_what_was_written_of_it() -> None:
    at = datetime(2026, 11, 28, 8, 21, 6, 100_000, UTC)
    for snapshot in ("5:7:", "5:9:5,7", "12345678901:12345678999:12345678901"):
        mark = Mark.of(snapshot, at)
        assert Mark.from_text(mark.text) == mark
        assert mark.snapshot == snapshot


def test_a_mark_with_too_many_open_transactions_is_short_and_forgets_none_of_them() -> None:
    mark = Mark(1.0, 10, 500, tuple(range(10, 200, 2)))
    short = Mark.from_text(mark.text)
    assert short == Mark(1.0, 10, 10)
    assert short.snapshot == "10:10:"


def test_what_no_process_wrote_is_no_mark() -> None:
    for text in (
        "",
        "1.2",
        "1.7.5",
        "1.5.9.3",
        "1.5.9.9",
        "1.5.9.7.6",
        "1.5.9.7.7",
        "1.5.99999999999999999999",
        "1.0.5",
    ):
        assert Mark.from_text(text) is None, text
