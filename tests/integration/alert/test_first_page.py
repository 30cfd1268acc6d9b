"""The first page over stages that really fail."""

from pointsman_service.now.picture import said
from tests.integration.read.conftest import application
from tests.integration.record.test_error_groups import fail, fold
from tests.integration.spine import Spine
from tests.integration.tripped import trip


async def test_dependency_that_fails_is_named_with_its_error_and_its_line(spine: Spine) -> None:
    await trip(spine)
    await fold(spine)

    now = await application(spine).state.parts.now.read()

    (cause,) = [cause for cause in now.causes if cause.kind == "breaker_open"]
    assert said(cause.parts).startswith("smtp has failed since ")
    assert cause.error is not None
    assert cause.error.count == spine.settings.circuit_breaker.failure_threshold
    assert cause.error.task_id is not None
    assert now.breakers[0].next_probe_at is not None


async def test_error_of_the_hour_is_told_as_new_with_what_fails(spine: Spine) -> None:
    for number in (7, 8):
        await fail(spine, f"no customer {number}")
    await fold(spine)

    (error,) = (await application(spine).state.parts.now.read()).errors

    assert (error.label, error.task_type, error.count, error.badge) == ("KeyError: no customer <n>", "noop", 2, "new")
