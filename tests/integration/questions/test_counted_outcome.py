"""Does this outcome count for a circuit breaker? ``report.lua`` answers at once and the recorder afterwards in Python,
each from what the same worker says. One table says whether a run of attempts opens a breaker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest

from pointsman.task_type.causes import class_names
from pointsman.task_type.dependencies import verdict_of
from pointsman_contract import keys
from pointsman_contract.breaker_entry import BLOCKS, epoch_of
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE
from pointsman_contract.event_text import outcome_text, started_text
from pointsman_contract.events import Ending, EventKind, OutcomeBody
from pointsman_service.breaker.breaker import Breaker, BreakerState, Override
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.breaker.registry import Called, Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.record.calls import calls_of
from pointsman_service.record.events import parse
from pointsman_service.store import clock
from pointsman_service.store.breakers import breakers
from tests.integration.spine import Spine

THIS, OTHER = "this", "other"
TWICE = BreakerPolicy(failure_threshold=2, ignored_exceptions=("KeyError",))
NETWORK = BreakerPolicy(failure_threshold=2, expected_exception=("ConnectionError",))
LOOKUP = BreakerPolicy(failure_threshold=2, expected_exception=("LookupError",), ignored_exceptions=("KeyError",))
RATES = BreakerPolicy(failure_threshold=None, window_seconds=60, failure_rate=0.5, minimum_calls=20)
OFF = Override(BreakerState.DISABLED, "me", "a test")
SHUT = Override(BreakerState.FORCED_OPEN, "me", "a test")


@dataclass(frozen=True)
class Attempt:
    """How one attempt ended. Without ``blamed`` and ``answered`` it is nobody's failure."""

    error: BaseException | None = None
    blamed: str | None = None
    answered: tuple[str, ...] = ()
    epoch: int | None = 0
    """Of this breaker, as the gate told it."""
    number: int = 1
    """Of the attempts of its task."""
    is_probe: bool = False
    is_late: bool = False
    is_interrupted: bool = False
    has_names: bool = True


@dataclass(frozen=True)
class Case:
    attempts: Sequence[Attempt]
    opens: bool
    policy: BreakerPolicy = TWICE
    before: Breaker = field(default_factory=Breaker)
    """A ``TaskTypeBreaker``: of a task type, otherwise of a dependency."""


SUCCESS = Attempt()
FAILURE = Attempt(ConnectionRefusedError(), THIS)
NOBODYS = Attempt(ValueError())
IGNORED = Attempt(KeyError(), THIS)
OF_ANOTHER = Attempt(OSError(), OTHER)
ANSWER = Attempt(ValueError(), None, (THIS,))
HALF_OPEN = Breaker(BreakerState.HALF_OPEN, 2)
PROBE = replace(FAILURE, epoch=2, is_probe=True)
AGAIN = replace(FAILURE, number=2)
OF_TYPE = TaskTypeBreaker()
DOUBTED = TaskTypeBreaker(BreakerState.HALF_OPEN, 2, is_doubted=True, doubted_until=1e10)
PATIENT = TaskTypeBreaker(epoch=3, patience=2, mistaken_at=1e10, closed_at=1e10)

CASES: Mapping[str, Case] = {
    "one failure": Case([FAILURE], opens=False),
    "two failures": Case([FAILURE, FAILURE], opens=True),
    "a success between two": Case([FAILURE, SUCCESS, FAILURE], opens=False),
    "an answer between two": Case([FAILURE, ANSWER, FAILURE], opens=False),
    "an answer, and a failure of another, between two": Case(
        [FAILURE, replace(OF_ANOTHER, answered=(THIS,)), FAILURE], opens=False
    ),
    "a failure after an answer in one attempt": Case([FAILURE, replace(FAILURE, answered=(THIS,))], opens=True),
    "nobody's failure between two": Case([FAILURE, NOBODYS, FAILURE], opens=True),
    "a failure that is ignored between two": Case([FAILURE, IGNORED, FAILURE], opens=True),
    "a failure of another between two": Case([FAILURE, OF_ANOTHER, FAILURE], opens=True),
    "failures that are ignored": Case([IGNORED, IGNORED, IGNORED], opens=False),
    "failures of another": Case([OF_ANOTHER, OF_ANOTHER, OF_ANOTHER], opens=False),
    "late failures": Case([replace(FAILURE, is_late=True)] * 3, opens=False),
    "interruptions": Case([replace(NOBODYS, is_interrupted=True)] * 3, opens=False),
    "a class derived from the one expected": Case([FAILURE, FAILURE], opens=True, policy=NETWORK),
    "a class that is not expected": Case([Attempt(ValueError(), THIS)] * 3, opens=False, policy=NETWORK),
    "a class both expected and ignored": Case([IGNORED] * 3, opens=False, policy=LOOKUP),
    "a class beside the one ignored": Case([Attempt(IndexError(), THIS)] * 2, opens=True, policy=LOOKUP),
    "what is no Exception": Case([Attempt(KeyboardInterrupt(), THIS)] * 2, opens=True),
    "failures without a name": Case([replace(FAILURE, has_names=False)] * 2, opens=True, policy=NETWORK),
    "no threshold, and too few calls for a rate": Case([FAILURE] * 3, opens=False, policy=RATES),
    "failures of this epoch": Case([replace(FAILURE, epoch=3)] * 2, opens=True, before=Breaker(epoch=3)),
    "failures of no known epoch": Case([replace(FAILURE, epoch=None)] * 2, opens=True, before=Breaker(epoch=3)),
    "failures of an older epoch": Case([replace(FAILURE, epoch=2)] * 3, opens=False, before=Breaker(epoch=3)),
    "a probe fails": Case([PROBE], opens=True, before=HALF_OPEN),
    "a probe succeeds": Case([replace(SUCCESS, epoch=2, is_probe=True)], opens=False, before=HALF_OPEN),
    "a probe fails by what is ignored": Case([replace(IGNORED, epoch=2, is_probe=True)], opens=False, before=HALF_OPEN),
    "who has no permit fails": Case([replace(PROBE, is_probe=False)] * 3, opens=False, before=HALF_OPEN),
    "failures while it is open": Case(
        [replace(FAILURE, epoch=1)] * 3, opens=False, before=Breaker(BreakerState.OPEN, 1, retry_at=1e10)
    ),
    "failures while it is disabled": Case(
        [replace(FAILURE, epoch=4)] * 3, opens=False, before=Breaker(epoch=4, override=OFF)
    ),
    "failures while it is forced open": Case(
        [replace(FAILURE, epoch=4)] * 3, opens=False, before=Breaker(epoch=4, override=SHUT)
    ),
    "a run of tasks of a type": Case([FAILURE] * 3, opens=True, before=OF_TYPE),
    "too few tasks of a type": Case([FAILURE] * 2, opens=False, before=OF_TYPE),
    "one task of a type, again and again": Case([FAILURE, *[AGAIN] * 5], opens=False, before=OF_TYPE),
    "another attempt between tasks of a type": Case([FAILURE, AGAIN, FAILURE, FAILURE], opens=True, before=OF_TYPE),
    "a late success between tasks of a type": Case(
        [FAILURE, FAILURE, replace(SUCCESS, number=3), FAILURE, FAILURE], opens=False, before=OF_TYPE
    ),
    "tasks of a type that fail by what is ignored": Case([IGNORED] * 5, opens=False, before=OF_TYPE),
    "tasks of a type, and only rates count": Case([FAILURE] * 5, opens=False, policy=RATES, before=OF_TYPE),
    "tasks of a type of an older epoch": Case(
        [replace(FAILURE, epoch=2)] * 5, opens=False, before=TaskTypeBreaker(epoch=3)
    ),
    "a run that was long enough once": Case([replace(FAILURE, epoch=3)] * 3, opens=False, before=PATIENT),
    "a run that is long enough the next time": Case([replace(FAILURE, epoch=3)] * 7, opens=True, before=PATIENT),
    "a probe of a type fails in doubt": Case([PROBE], opens=False, before=DOUBTED),
    "who has no permit fails in doubt": Case([replace(PROBE, is_probe=False)] * 5, opens=False, before=DOUBTED),
}


class Told:
    """The attempts of every case, reported as a worker does."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine
        self._registry = Registry(spine.store, spine.settings)
        self._probes = [str(uuid4()) for _ in CASES]

    async def run(self) -> None:
        async with self._spine.store.transaction() as connection:
            until = await clock.now(connection) + 600
            entries = []
            for number, case in enumerate(CASES.values()):
                permits = {self._probes[number]: until} if case.before.state is BreakerState.HALF_OPEN else {}
                before = replace(case.before, permits=permits)
                entries.append(Entry(self.key(number), before, case.policy, has_own_policy=True, policy_version=1))
            await breakers.add(connection, [entry.key for entry in entries])
            await breakers.save(connection, [entry.as_row() for entry in entries])
        await Snapshot(self._spine.store, self._spine.server, self._spine.settings).push()
        for number, case in enumerate(CASES.values()):
            for attempt in case.attempts:
                await self._report(number, attempt)

    def key(self, number: int) -> tuple[str, str]:
        of_type = isinstance(list(CASES.values())[number].before, TaskTypeBreaker)
        return TASK_TYPE if of_type else DEPENDENCY, f"case{number}"

    async def at_once(self) -> dict[str, bool]:
        """Whether a breaker was opened, by Redis."""
        opened = {}
        for number, (name, case) in enumerate(CASES.items()):
            entry = (await self._spine.server.command("HGET", keys.BREAKERS, ":".join(self.key(number)))).decode()
            opened[name] = entry.startswith(BLOCKS) and epoch_of(entry) > case.before.epoch
        return opened

    async def recorded(self) -> dict[str, bool]:
        """Whether a breaker was opened, once the recorder has counted what is in the stream."""
        calls: list[Called] = []
        epoch = int(await self._spine.server.command("HGET", keys.CONTROL, "epoch"))
        async with self._spine.store.transaction() as connection:
            now = await clock.now(connection)
            for entry in await self._spine.server.command("XRANGE", keys.events(epoch), "-", "+"):
                event = parse(entry, 0.0, now)
                body: Any = event.body
                outcome: OutcomeBody = body
                calls += calls_of(event, outcome)
            await self._registry.count(connection, calls)
        found = await self._registry.find_all([self.key(number) for number in range(len(CASES))])
        return {
            name: found[self.key(number)].breaker.state is not BreakerState.CLOSED
            and found[self.key(number)].breaker.epoch > case.before.epoch
            for number, (name, case) in enumerate(CASES.items())
        }

    async def _report(self, number: int, attempt: Attempt) -> None:
        names = {THIS: ":".join(self.key(number)), OTHER: f"{DEPENDENCY}:another{number}"}
        task, token = self._probes[number] if attempt.is_probe else str(uuid4()), uuid4().hex
        ending: Ending = {"breakers": {names[THIS]: attempt.epoch, names[OTHER]: 0}}
        if attempt.error is not None:
            ending["error"] = {"type": type(attempt.error).__name__, "message": "", "traceback": ""}
        if attempt.is_interrupted:
            ending["interrupted"] = True
        if attempt.blamed is not None and attempt.error is not None:
            ending["blamed"] = [names[attempt.blamed]]
            ending["error_classes"] = class_names(attempt.error) if attempt.has_names else []
        if attempt.answered:
            ending["answered"] = [names[one] for one in attempt.answered]
        if attempt.is_late:
            await self._spine.server.command(
                "HSET", keys.claim(task), "state", "released", "attempt", attempt.number, "token", ""
            )
        seconds, _ = await self._spine.server.command("TIME")
        body = outcome_text(started_text("noop", "maintenance", "w@h", 1), float(seconds), 0.1, ending)
        kind = EventKind.SUCCEEDED if attempt.error is None else EventKind.FAILED
        answer = await self._spine.server.script(
            "report",
            [keys.CONTROL, keys.claim(task), keys.BREAKERS, keys.BREAKER_FAILURES],
            [keys.EVENTS_PREFIX],
            [task, attempt.number, token, kind, body, keys.CLAIM_SECONDS, "", *verdict_of(ending)],
        )
        assert (answer[0], answer[3]) == (b"ok", b"1" if attempt.is_late else b"0")


@pytest.fixture
async def told(spine: Spine) -> Told:
    """Every case of the table, reported."""
    told = Told(spine)
    await told.run()
    return told


async def test_outcomes_count_as_the_table_says(told: Told) -> None:
    by_table = {name: case.opens for name, case in CASES.items()}
    assert set(by_table.values()) == {True, False}
    assert await told.at_once() == by_table, "report.lua"
    assert await told.recorded() == by_table, "the recorder"
