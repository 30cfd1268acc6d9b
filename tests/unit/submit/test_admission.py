"""Whether a queue takes one more task, from memory."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pointsman_contract.queues import QueueSpec
from pointsman_service.admit.submission import Submission
from pointsman_service.api.problems.document import Problem, problem_bytes, problem_headers
from pointsman_service.errors import BacklogFull, DatabaseAway, SlaAtRisk
from pointsman_service.observe.backlog import Backlog
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason
from pointsman_service.store.queues.shares import Share
from pointsman_service.submit.admission import Admission
from pointsman_service.submit.in_turn import InTurn

LIMITED = QueueSpec(name="email", priority=7, sla_seconds=5, backlog_limit=100)
FREE = QueueSpec(name="reports", priority=6, sla_seconds=60)
NOW = Submission(task_type="echo")
LATER = Submission(task_type="echo", delay_seconds=60.0)
REJECT = Submission(task_type="echo", on_sla_risk="reject")


def seconds(p50: float, p95: float) -> Prediction:
    return Prediction(p50, p95, Basis.FLOW, Confidence.GOOD, None)


class World:
    """A backlog that is read when it is asked for, and a prediction for everything."""

    def __init__(self, depth: int = 0, prediction: Prediction | None = None) -> None:
        self.depth = depth
        self.prediction = prediction or seconds(1.0, 2.0)
        self.readings = 0
        self.is_away = False
        self.meanwhile: Any = None
        self.before: int | None = None
        self.asked: list[Share] = []
        self.now = 0.0
        self.admission = Admission(self.read, self, [LIMITED, FREE], InTurn(self.read_turns, lambda: self.now))

    async def read(self) -> Mapping[str, Backlog]:
        if self.is_away:
            raise DatabaseAway
        self.readings += 1
        depth = self.depth
        if self.meanwhile is not None:
            self.meanwhile()
        return {"email": Backlog(depth=depth)}

    async def read_turns(self, queue: str, priority: int, share: Share) -> int | None:
        if self.is_away:
            raise DatabaseAway
        self.asked.append(share)
        await asyncio.sleep(0)
        return self.before

    def of(self, queue: str, priority: int) -> Prediction:
        return self.prediction

    def remaining(self, queue: str, priority: int, ahead: int) -> Prediction:
        """A task a second."""
        return seconds(float(ahead), float(ahead))

    async def takes(self, queue: QueueSpec = LIMITED, submission: Submission = NOW) -> bool:
        try:
            await self.admission.check(queue, 5, submission, "one")
        except (BacklogFull, SlaAtRisk):
            return False
        self.admission.take(queue.name, submission)
        return True


async def test_a_queue_at_its_limit_refuses_and_one_below_takes() -> None:
    world = World(depth=99)
    assert await world.takes()
    assert not await world.takes()
    assert await world.takes(FREE)
    assert await world.takes(submission=LATER), "what is due later is in no backlog"


async def test_a_burst_between_two_readings_does_not_pass_the_limit() -> None:
    world = World(depth=40)
    assert sum([await world.takes() for _ in range(500)]) == 60
    assert world.readings == 1


async def test_what_a_reading_has_seen_is_not_counted_twice_and_what_came_meanwhile_once() -> None:
    world = World(depth=0)
    for _ in range(30):
        assert await world.takes()
    world.depth = 30
    world.meanwhile = lambda: world.admission.take("email", NOW)
    await world.admission.single_pass()
    world.meanwhile = None
    assert sum([await world.takes() for _ in range(500)]) == 69


async def test_tasks_that_were_not_stored_give_their_places_back() -> None:
    world = World(depth=98)
    assert [await world.takes() for _ in range(3)] == [True, True, False]
    world.admission.give_back(["email", "email", "reports"])
    assert [await world.takes() for _ in range(3)] == [True, True, False]


async def test_without_a_limit_nobody_reads_a_backlog() -> None:
    world = World(depth=10**6)
    free = Admission(world.read, world, [FREE])
    await free.check(FREE, 5, NOW, "one")
    free.take("reports", NOW)
    stop = asyncio.Event()
    running = asyncio.create_task(free.loop.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert world.readings == 0


async def test_backlog_that_cannot_be_read_refuses_nobody() -> None:
    world = World(depth=500)
    world.is_away = True
    assert await world.takes(), "the database refuses it itself"


@pytest.mark.parametrize(
    ("depth", "prediction", "wait"),
    [
        (100, seconds(50.0, 90.0), "5"),
        (200, seconds(100.0, 190.0), "55"),
        (100, seconds(0.5, 1.0), "1"),
        (100_000, seconds(9000.0, 9000.0), "300"),
        (100, Prediction.unsaid(Reason.NO_WORKER), "30"),
        (100, Prediction.unsaid(Reason.NOT_KNOWN), "10"),
    ],
)
async def test_a_full_queue_says_when_a_tenth_of_it_will_be_free(depth: int, prediction: Prediction, wait: str) -> None:
    world = World(depth, prediction)
    with pytest.raises(BacklogFull) as refused:
        await world.admission.check(LIMITED, 5, NOW, "one")
    assert problem_headers(refused.value) == {"Retry-After": wait}
    document = Problem.model_validate_json(problem_bytes(refused.value, "/v1/tasks"))
    assert document.type == "urn:pointsman:problem:backlog-full"
    assert document.prediction is not None
    assert document.prediction.p50_seconds == prediction.p50_seconds


@pytest.mark.parametrize(
    ("prediction", "taken"),
    [
        (seconds(10.0, 59.0), True),
        (seconds(10.0, 61.0), False),
        (Prediction.unsaid(Reason.PAUSED), False),
        (Prediction.unsaid(Reason.NO_WORKER), False),
        (Prediction.unsaid(Reason.BREAKER_OPEN), False),
        (Prediction.unsaid(Reason.NOT_ENOUGH_SEEN), True),
        (Prediction.unsaid(Reason.NOT_KNOWN), True),
    ],
)
async def test_who_asks_for_it_is_refused_what_would_miss_its_target(prediction: Prediction, taken: bool) -> None:
    world = World(prediction=prediction)
    assert await world.takes(FREE, REJECT) is taken
    assert await world.takes(FREE, NOW), "nobody else is"
    assert await world.takes(FREE, Submission(task_type="echo", on_sla_risk="reject", delay_seconds=9.0))


async def test_a_refusal_says_what_is_predicted() -> None:
    world = World(prediction=seconds(80.0, 100.0))
    with pytest.raises(SlaAtRisk) as refused:
        await world.admission.check(FREE, 5, REJECT, "one")
    document = Problem.model_validate_json(problem_bytes(refused.value))
    assert document.prediction is not None
    assert (document.prediction.p50_seconds, document.prediction.p95_seconds) == (80.0, 100.0)
    assert document.detail.startswith("On reports 19 of 20 such tasks start within 100 s, and its target is 60 s")
    assert problem_headers(refused.value) == {"Retry-After": "40"}


async def test_where_callers_take_turns_one_is_refused_for_what_goes_before_it_alone() -> None:
    world = World(prediction=seconds(900.0, 1000.0))
    for before, taken in ((60, True), (61, False), (None, False)):
        world.before = before
        world.now += 1.0
        assert await world.takes(FREE, REJECT) is taken, before
    tenant = Submission(task_type="echo", on_sla_risk="reject", fairness_key="tenant-42")
    assert not await world.takes(FREE, tenant)
    assert world.asked == [Share("one", "")] * 3 + [Share("one", "tenant-42")]
    world.prediction = Prediction.unsaid(Reason.PAUSED)
    assert not await world.takes(FREE, REJECT)
    world.prediction = seconds(1.0, 2.0)
    assert await world.takes(FREE, REJECT)
    assert len(world.asked) == 4, "neither where nothing starts nor where all of it starts in time"


async def test_whose_turn_it_is_is_asked_twice_a_second_for_each_share_and_not_by_a_crowd() -> None:
    world = World(prediction=seconds(900.0, 1000.0))
    world.before = 3
    assert all(await asyncio.gather(*(world.takes(FREE, REJECT) for _ in range(15))))
    assert len(world.asked) == 1
    many = [Submission(task_type="echo", on_sla_risk="reject", fairness_key=f"t-{n}") for n in range(100)]
    assert 20 <= sum(await asyncio.gather(*(world.takes(FREE, one) for one in many))) < 100
    assert len(world.asked) == 21
    world.now = 10.0
    world.is_away = True
    assert not await world.takes(FREE, REJECT), "what is not known is as the whole queue"
