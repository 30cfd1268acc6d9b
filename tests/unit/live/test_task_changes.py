from itertools import product
from uuid import UUID

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.live.task_changes import Channels, TaskListener, TaskMatch
from pointsman_service.store.changes import Mark
from tests.unit.live.followed import change

MARK = Mark(1.0, 5, 7)
GROUP = UUID(int=77)
TAGS: tuple[tuple[tuple[tuple[str, str], ...], ...], ...] = (
    (),
    ((("tenant", "42"),),),
    ((("tenant", "42"),), (("a", "b:c"), ("a:b", "c"))),
)


async def named(listener: TaskListener) -> list[int]:
    if listener.is_empty:
        return []
    told = await listener.next(0.0)
    assert told is not None
    return [one.task.id.int for one in told.changes]


async def test_every_filter_is_told_what_meets_it_and_nothing_else() -> None:
    changes = [
        change(number, state=state, queue=queue, task_type=task_type, tags=tags, worker=worker, error_group=group)
        for number, (state, queue, task_type, tags, worker, group) in enumerate(
            product(
                ("queued", "failed"),
                ("email", "reports"),
                ("echo", "noop"),
                (None, {"tenant": "42"}, {"tenant": "42", "a": "b:c"}, {"tenant": "42", "a:b": "c"}),
                (None, "w@h#1"),
                (None, GROUP),
            )
        )
    ]
    matches = [
        TaskMatch(state=state, queue=queue, task_type=task_type, tags=tags, worker=worker, error_group=group, ids=ids)
        for state, queue, task_type, tags, worker, group, ids in product(
            (None, TaskState.FAILED),
            (None, "email"),
            (None, "echo"),
            TAGS,
            (None, "w@h", "w@h#1", "w@h#2"),
            (None, GROUP),
            (frozenset[UUID](), frozenset(UUID(int=number) for number in range(40, 90))),
        )
    ]
    channels = Channels()
    listeners = [TaskListener(match) for match in matches]
    for listener in listeners:
        channels.add(listener)
    channels.tell(changes, MARK, 1000)
    for listener in listeners:
        assert await named(listener) == [one.task.id.int for one in changes if listener.match.meets(one.task)]


@pytest.mark.parametrize(
    ("match", "met"),
    [
        (TaskMatch(), True),
        (TaskMatch(state=TaskState.FAILED, queue="email", task_type="echo", caller="local"), True),
        (TaskMatch(error_type="KeyError", worker="w@h", error_group=GROUP), True),
        (TaskMatch(worker="w@h#1"), True),
        (TaskMatch(worker="w@h#2"), False),
        (TaskMatch(worker="w"), False),
        (TaskMatch(state=TaskState.RUNNING), False),
        (TaskMatch(queue="reports"), False),
        (TaskMatch(caller="another"), False),
        (TaskMatch(error_type="OSError"), False),
        (TaskMatch(tags=((("a", "b:c"), ("a:b", "c")),)), True),
        (TaskMatch(tags=((("tenant", "42"),), (("a", "x"),))), False),
    ],
)
def test_a_filter_asks_for_all_that_it_names(match: TaskMatch, met: bool) -> None:
    task = change(
        1, state="failed", error_type="KeyError", worker="w@h#1", error_group=GROUP, tags={"tenant": "42", "a:b": "c"}
    ).task
    assert match.meets(task) is met


async def test_those_who_follow_the_same_are_told_the_same_message() -> None:
    channels = Channels()
    first, second, other = (TaskListener(TaskMatch(queue=queue)) for queue in ("email", "email", "reports"))
    for listener in (first, second, other):
        channels.add(listener)
    channels.tell([change(1), change(2), change(3)], MARK, 2)
    told = await first.next(0.0)
    assert told is not None
    assert told is await second.next(0.0)
    assert (len(told.changes), told.left_out) == (2, 1)
    assert other.is_empty


def test_one_who_left_is_told_nothing() -> None:
    channels = Channels()
    listener = TaskListener(TaskMatch(queue="email"))
    channels.add(listener)
    channels.discard(listener)
    channels.discard(listener)
    channels.tell([change(1)], MARK, 10, reset=True)
    assert listener.is_empty
    assert (len(channels), list(channels)) == (0, [])


async def test_a_gap_is_told_to_everybody() -> None:
    channels = Channels()
    listener = TaskListener(TaskMatch(queue="reports"))
    channels.add(listener)
    channels.tell([change(1)], MARK, 10, reset=True)
    told = await listener.next(0.0)
    assert told is not None
    assert (told.reset, list(told.changes)) == (True, [])
