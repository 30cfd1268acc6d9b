"""Is this task held by a circuit breaker? Lua, Python and SQL each have to answer, and one table says what.

The gate asks for a message, a worker for a call that nobody had named, the submission for a task that is about to be
stored, the sweep ``holding`` for tasks that wait in Postgres, and the API for another service.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple
from uuid import uuid4

import pytest
import uuid_utils

from pointsman_contract import keys
from pointsman_contract.breaker_entry import lets_pass
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE, breakers_of
from pointsman_service.breaker.breaker import Breaker, BreakerState, Override
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.breaker.registry import Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.breaker.view import BreakerView
from pointsman_service.store import clock
from pointsman_service.store.breakers import breakers
from pointsman_service.store.queues import holding
from tests.integration.spine import Spine, new_task

POLICY = BreakerPolicy(half_open_permits=1)
PASSING = (DEPENDENCY, "passing")
"""Holds nobody: its tasks are let go, but for those that another one holds."""

Make = Callable[[str, float], Breaker]
"""A breaker, given the task that has its permit, and now."""


class Situation(NamedTuple):
    """What a breaker is, and whom it holds."""

    make: Make
    holds_its_probe: bool
    """The task that a permit names, where one does."""
    holds_others: bool


def by_hand(state: BreakerState, over: Breaker, expires_at: float | None = None) -> Breaker:
    override = Override(state, "me", "a test", expires_at)
    return Breaker(over.state, 5, retry_at=over.retry_at, permits=over.permits, override=override)


def half_open(*permits: str, until: float = 0.0) -> Breaker:
    return Breaker(BreakerState.HALF_OPEN, 2, permits=dict.fromkeys(permits, until))


def of_scope(key: tuple[str, str], breaker: Breaker) -> Breaker:
    """The machine that the breaker of a task type has."""
    if key[0] != TASK_TYPE or isinstance(breaker, TaskTypeBreaker):
        return breaker
    return TaskTypeBreaker(**{one.name: getattr(breaker, one.name) for one in fields(breaker)})


def doubted(*permits: str, until: float = 0.0, resumes_at: float | None = None) -> Breaker:
    return TaskTypeBreaker(
        BreakerState.HALF_OPEN, 2, permits=dict.fromkeys(permits, until), is_doubted=True, doubted_until=1e10,
        resumes_at=resumes_at, accused=(str(uuid4()),),
    )  # fmt: skip


def opened(retry_at: float) -> Breaker:
    return Breaker(BreakerState.OPEN, 1, opened_at=1.0, retry_at=retry_at)


SITUATIONS: Mapping[str, Situation] = {
    "closed": Situation(lambda _, __: Breaker(epoch=3), False, False),
    "open": Situation(lambda _, now: opened(now + 60), True, True),
    "open, and its wait is over": Situation(lambda _, now: opened(now - 60), True, True),
    "half open": Situation(lambda _, __: half_open(), True, True),
    "half open, another has the permit": Situation(lambda _, now: half_open(str(uuid4()), until=now + 60), True, True),
    "half open, with the permit": Situation(lambda task, now: half_open(task, until=now + 60), False, True),
    "half open, the permit ran out": Situation(lambda task, now: half_open(task, until=now - 60), True, True),
    "forced open": Situation(lambda _, __: by_hand(BreakerState.FORCED_OPEN, Breaker()), True, True),
    "forced open over half open": Situation(
        lambda task, now: by_hand(BreakerState.FORCED_OPEN, half_open(task, until=now + 60)), True, True
    ),
    "forced open until a moment ago": Situation(
        lambda _, now: by_hand(BreakerState.FORCED_OPEN, Breaker(), now - 60), False, False
    ),
    "disabled": Situation(lambda _, __: by_hand(BreakerState.DISABLED, Breaker()), False, False),
    "disabled over open": Situation(lambda _, now: by_hand(BreakerState.DISABLED, opened(now + 60)), False, False),
    "disabled over open until a moment ago": Situation(
        lambda _, now: by_hand(BreakerState.DISABLED, opened(now + 60), now - 60), True, True
    ),
}
OF_TASK_TYPES: Mapping[str, Situation] = {
    "in doubt": Situation(lambda _, __: doubted(), True, True),
    "in doubt, with the permit": Situation(lambda task, now: doubted(task, until=now + 60), False, True),
    "in doubt before its wait was over": Situation(
        lambda task, now: doubted(task, until=now + 60, resumes_at=now + 90), False, True
    ),
    "some inputs were bad": Situation(
        lambda _, now: TaskTypeBreaker(epoch=3, patience=2, mistaken_at=now, closed_at=now), False, False
    ),
}
"""What only the breaker of a task type can be."""
EVERY = {**SITUATIONS, **OF_TASK_TYPES}
ASKING_LEASES = {"half open", "half open, the permit ran out", "open, and its wait is over", "in doubt"}
"""Who asks here gets a permit by asking."""
PAIRS = [
    ("closed", "open"),
    ("open", "closed"),
    ("open", "forced open"),
    ("half open, with the permit", "half open, with the permit"),
    ("half open, with the permit", "open"),
    ("half open", "half open, with the permit"),
    ("disabled", "half open"),
    ("in doubt, with the permit", "open"),
    ("in doubt, with the permit", "half open, with the permit"),
    ("some inputs were bad", "open"),
]


@dataclass(frozen=True)
class Case:
    """One task, and the breakers of its type and of what it depends on."""

    number: int
    of_type: str | None
    of_dependency: str | None
    probe: str
    """The task that permits name."""
    other: str
    """One like it that has none."""

    @property
    def task_type(self) -> str:
        return f"type{self.number}"

    @property
    def dependency(self) -> str:
        return f"dependency{self.number}"

    @property
    def situations(self) -> dict[tuple[str, str], str]:
        found = {(TASK_TYPE, self.task_type): self.of_type, (DEPENDENCY, self.dependency): self.of_dependency}
        return {key: situation for key, situation in found.items() if situation is not None}

    def held_by(self, task: str) -> set[str]:
        """By the table."""
        holders = set()
        for key, name in self.situations.items():
            situation = EVERY[name]
            if situation.holds_its_probe if task == self.probe else situation.holds_others:
                holders.add(":".join(key))
        return holders

    def __str__(self) -> str:
        return f"type {self.of_type}, dependency {self.of_dependency}"


def all_cases() -> list[Case]:
    pairs: list[tuple[str | None, str | None]] = [(None, None), *PAIRS]
    pairs += [(name, None) for name in (*SITUATIONS, *OF_TASK_TYPES)] + [(None, name) for name in SITUATIONS]
    return [
        Case(number, of_type, of_dependency, str(uuid_utils.uuid7()), str(uuid_utils.uuid7()))
        for number, (of_type, of_dependency) in enumerate(pairs)
    ]


@pytest.fixture
async def cases(spine: Spine) -> list[Case]:
    """All of the table, in Postgres and in Redis."""
    found = all_cases()
    registry = Registry(spine.store, spine.settings)
    async with spine.store.transaction() as connection:
        now = await clock.now(connection)
        entries = [
            Entry(key, of_scope(key, EVERY[name].make(case.probe, now)), POLICY, True, 1)
            for case in found
            for key, name in case.situations.items()
        ]
        await breakers.add(connection, [entry.key for entry in entries])
        await breakers.save(connection, [entry.as_row() for entry in entries])
    await registry.turn(100)
    await Snapshot(spine.store, spine.server, spine.settings).push()
    return found


def wrong(cases: list[Case], answer: Callable[[Case, str], set[str]]) -> list[str]:
    """Where an answer names no breaker, or one that the table does not."""
    return [
        f"{case}: {'the probe' if task == case.probe else 'another'} is held by {answer(case, task)}, not by {by_table}"
        for case in cases
        for task in (case.probe, case.other)
        for by_table in (case.held_by(task),)
        if bool(answer(case, task)) != bool(by_table) or not answer(case, task) <= by_table
    ]


async def test_gate_holds_as_the_table_says(spine: Spine, cases: list[Case]) -> None:
    epoch = int(await spine.server.command("HGET", keys.CONTROL, "epoch"))
    seconds, _ = await spine.server.command("TIME")
    said: dict[str, bytes] = {}
    for case in cases:
        for task in (case.probe, case.other):
            body = json.dumps({"task_type": case.task_type, "queue": "maintenance", "worker": "w@h", "dispatch": 1})
            tail = (epoch, task, 0, uuid4().hex, "w@h", int(seconds), "", body, 600, 540, 1000, 85, "maintenance", "")
            named = breakers_of(case.task_type, (case.dependency,))
            about = [keys.CONTROL, keys.claim(task), keys.BREAKERS]
            said[task] = (await spine.server.script("gate", about, [keys.EVENTS_PREFIX], (*tail, *named)))[0]
    assert set(said.values()) == {b"run", b"held"}
    entries = await spine.server.command("XRANGE", keys.events(epoch), "-", "+")
    told = [dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in entries]
    held_by = {event[b"task"].decode(): {event[b"breaker"].decode()} for event in told if event[b"kind"] == b"held"}
    assert held_by.keys() == {task for task, verdict in said.items() if verdict == b"held"}
    assert wrong(cases, lambda _, task: held_by.get(task, set())) == []


async def test_call_of_a_worker_is_held_as_the_table_says(spine: Spine, cases: list[Case]) -> None:
    flat = await spine.server.command("HGETALL", keys.BREAKERS)
    entries = {field.decode(): text.decode() for field, text in zip(flat[::2], flat[1::2], strict=True)}

    def answer(case: Case, task: str) -> set[str]:
        named = breakers_of(case.task_type, (case.dependency,))
        return {breaker for breaker in named if not lets_pass(entries.get(breaker), task)}

    for case in cases:
        for task in (case.probe, case.other):
            assert answer(case, task) == case.held_by(task), str(case)


async def test_submission_is_held_as_the_table_says(spine: Spine, cases: list[Case]) -> None:
    view = BreakerView(spine.store, spine.settings)
    await view.single_pass()
    for case in cases:
        found = view.of_task(case.task_type, (case.dependency,))
        # Nobody has leased a permit to a task that is not stored yet.
        by_table = case.held_by(case.other)
        assert (found is not None) == bool(by_table), str(case)
        assert found is None or ":".join(found.key) in by_table
    async with spine.store.statement() as connection:
        assert await holding.is_anything_blocked(connection)


async def test_waiting_task_is_held_as_the_table_says(spine: Spine, cases: list[Case]) -> None:
    for case in cases:
        for task in (case.probe, case.other):
            await spine.commits.join(new_task(id=task, task_type=case.task_type, dependencies=case.dependency))
    await spine.commits.drain()
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_at = now(), held_reason = :reason",
        reason=holding.reason_of(PASSING),
    )
    async with spine.store.statement() as connection:
        await holding.release(connection, PASSING, 2 * len(cases))
    rows = await spine.rows("SELECT id, state, held_reason FROM task_live")
    assert {row["state"] for row in rows} == {"held", "queued"}
    held_by = {str(row["id"]): {row["held_reason"].removeprefix("breaker:")} for row in rows if row["state"] == "held"}
    assert len(rows) == 2 * len(cases)
    assert wrong(cases, lambda _, task: held_by.get(task, set())) == []


async def test_call_of_another_service_is_held_as_the_table_says(spine: Spine, cases: list[Case]) -> None:
    registry = Registry(spine.store, spine.settings)
    for case in cases:
        for key, name in case.situations.items():
            if name in ASKING_LEASES:
                continue
            for task in (case.probe, case.other):
                _, granted = await registry.lease(key, task)
                situation = EVERY[name]
                holds = situation.holds_its_probe if task == case.probe else situation.holds_others
                assert granted is not holds, f"{name}: {task == case.probe}"
