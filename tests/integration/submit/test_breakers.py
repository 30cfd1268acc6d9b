"""What a submission depends on, and what becomes of it while a circuit breaker would hold it."""

from typing import Any

import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.admit.submission import Submission
from pointsman_service.breaker.breaker import BreakerState, Override, Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.callers import LOCAL
from pointsman_service.errors import BreakerOpen
from pointsman_service.store.workers import catalogue
from pointsman_service.submit.submitter import Accepted, Submitter
from tests.integration.spine import Spine
from tests.integration.tripped import KEY, LIST, Holding

CALL = TaskTypeSpec(name="call", queue="maintenance", time_limit_seconds=9, dependencies=("smtp",), url_argument="url")
NOOP = TaskTypeSpec(name="noop", queue="maintenance", time_limit_seconds=9)


@pytest.fixture
async def submitter(spine: Spine) -> Submitter:
    async with spine.store.transaction() as connection:
        await catalogue.publish(connection, "w@h", [CALL, NOOP])
    return Submitter(spine.store, Catalogue(spine.store), spine.commits, spine.settings)


async def submit(spine: Spine, submitter: Submitter, key: str | None = None, **fields: object) -> Accepted:
    await spine.commits.breakers.single_pass()
    await spine.window.refresh()
    accepted = await submitter.submit(LOCAL, Submission.model_validate({"task_type": "noop"} | fields), key, None)
    await spine.commits.drain()
    return accepted


async def test_a_task_keeps_what_its_type_its_arguments_and_its_caller_say_it_depends_on(
    spine: Spine, submitter: Submitter
) -> None:
    kwargs = {"url": "https://api.weather.com/v1?key=secret"}
    await submit(spine, submitter, task_type="call", kwargs=kwargs, dependencies=["db", "smtp"])
    (row,) = await spine.rows("SELECT dependencies FROM task_live")
    assert row["dependencies"] == ["smtp", "db", "api.weather.com"]
    message = await spine.message(LIST)
    assert message is not None
    assert message["headers"]["pointsman"]["dependencies"] == row["dependencies"]


async def test_a_task_that_depends_on_nothing_costs_no_column_and_no_header(spine: Spine, submitter: Submitter) -> None:
    await submit(spine, submitter)
    assert await spine.rows("SELECT dependencies FROM task_live") == [{"dependencies": None}]
    message = await spine.message(LIST)
    assert message is not None
    assert "dependencies" not in message["headers"]["pointsman"]


@pytest.mark.parametrize("key", [None, "order-17"])
async def test_a_task_of_an_open_breaker_is_accepted_and_not_sent(
    spine: Spine, submitter: Submitter, key: str | None
) -> None:
    await Holding(spine).open(*KEY)
    await submit(spine, submitter, key, dependencies=["smtp"])
    await submit(spine, submitter)
    assert [row["place"] for row in await spine.rows("SELECT place FROM task_live ORDER BY id")] == ["waiting", "sent"]


async def test_one_that_asks_for_it_is_refused_and_told_when_to_come_again(spine: Spine, submitter: Submitter) -> None:
    await Holding(spine).open(*KEY)
    with pytest.raises(BreakerOpen, match="dependency:smtp is open") as raised:
        await submit(spine, submitter, dependencies=["smtp"], on_breaker_open="reject")
    assert raised.value.retry_after_seconds is not None
    assert 50 < raised.value.retry_after_seconds <= 60
    await submit(spine, submitter, on_breaker_open="reject")
    assert len(await spine.rows("SELECT id FROM task_live")) == 1


async def test_one_that_asks_for_it_is_refused_also_where_nobody_submitted_for_long(
    spine: Spine, submitter: Submitter
) -> None:
    await Holding(spine).open(*KEY)
    submission = Submission.model_validate({"task_type": "noop", "dependencies": ["smtp"], "on_breaker_open": "reject"})
    with pytest.raises(BreakerOpen):
        await submitter.submit(LOCAL, submission, None, None)


async def test_what_holds_tasks_is_looked_at_again_soon_after_a_submission(spine: Spine, submitter: Submitter) -> None:
    await submit(spine, submitter)
    assert spine.commits.breakers.asked
    await spine.commits.breakers.single_pass()
    assert not spine.commits.breakers.asked


@pytest.mark.parametrize(("expires_in", "seconds"), [(3600.0, 3600), (20.0, 60), (None, 10)])
async def test_one_refused_by_a_breaker_forced_open_is_told_when_that_ends(
    spine: Spine, submitter: Submitter, expires_in: float | None, seconds: int
) -> None:
    holding = Holding(spine)
    await holding.open(*KEY)

    def forced(entry: Entry, now: float) -> Step:
        until = None if expires_in is None else now + expires_in
        return entry.breaker.force(Override(BreakerState.FORCED_OPEN, "me", "a test", until), now)

    await holding.registry.change(KEY, forced)
    with pytest.raises(BreakerOpen) as raised:
        await submit(spine, submitter, dependencies=["smtp"], on_breaker_open="reject")
    assert raised.value.retry_after_seconds is not None
    assert seconds - 10 < raised.value.retry_after_seconds <= seconds + 6


async def test_a_host_that_is_forced_open_holds_tasks_however_it_is_written(spine: Spine, submitter: Submitter) -> None:
    await Holding(spine).force("dependency", "pay.example.org", BreakerState.FORCED_OPEN)
    kwargs = {"url": "https://Pay.Example.org.:443/charge"}
    await submit(spine, submitter, task_type="call", kwargs=kwargs)
    await submit(spine, submitter, dependencies=["PAY.example.org:80"])
    rows = await spine.rows("SELECT place, dependencies FROM task_live ORDER BY id")
    assert [(row["place"], row["dependencies"][-1]) for row in rows] == [("waiting", "pay.example.org")] * 2


async def test_a_call_again_gets_its_task_though_a_breaker_has_opened(spine: Spine, submitter: Submitter) -> None:
    fields = {"dependencies": ["smtp"], "on_breaker_open": "reject"}
    first = await submit(spine, submitter, "order-17", **fields)
    await Holding(spine).force(*KEY, BreakerState.FORCED_OPEN)
    again = await submit(spine, submitter, "order-17", **fields)
    assert (again.task_id, again.replayed) == (first.task_id, True)
    with pytest.raises(BreakerOpen):
        await submit(spine, submitter, "order-18", **fields)


async def test_a_disabled_breaker_refuses_nobody(spine: Spine, submitter: Submitter) -> None:
    await Holding(spine).force(*KEY, BreakerState.DISABLED)
    accepted = await submit(spine, submitter, dependencies=["smtp"], on_breaker_open="reject")
    assert accepted.submitted_at is not None


async def test_a_half_open_breaker_gets_its_probe_from_those_who_would_rather_be_refused(
    spine: Spine, submitter: Submitter
) -> None:
    holding = Holding(spine)
    fields: dict[str, Any] = {"dependencies": ["smtp"], "on_breaker_open": "reject"}
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    probe = await submit(spine, submitter, **fields)
    with pytest.raises(BreakerOpen, match="half_open"):
        await submitter.submit(LOCAL, Submission.model_validate({"task_type": "noop"} | fields), None, None)
    await spine.dispatcher.single_pass()
    assert await holding.held() == [probe.task_id]
    with pytest.raises(BreakerOpen, match="half_open"):
        await submit(spine, submitter, **fields)


async def test_a_half_open_breaker_refuses_while_all_its_permits_are_leased(spine: Spine, submitter: Submitter) -> None:
    holding = Holding(spine)
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    for number in range(spine.settings.circuit_breaker.half_open_permits):
        _, granted = await holding.registry.lease(KEY, f"another service {number}")
        assert granted
    with pytest.raises(BreakerOpen, match="half_open"):
        await submit(spine, submitter, dependencies=["smtp"], on_breaker_open="reject")
