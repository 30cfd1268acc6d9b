"""How long runs usually take is told, or not known: never the one and then the other."""

import asyncio
from typing import cast

import pytest

from pointsman_service.observe import task_metrics
from pointsman_service.observe.explain import usual
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.store import Store


async def test_what_is_usual_is_waited_for_until_it_was_known_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = asyncio.Event()

    async def read(*_: object) -> list[Sums]:
        await answered.wait()
        return [Sums("report", None, {"run_seconds_sum": 15.0}, {bucket_of(1.0): 15}, {}, 1.0)]

    monkeypatch.setattr(task_metrics, "read", read)
    runs = usual.UsualRuns(cast(Store, None))
    asyncio.get_running_loop().call_later(3 * usual._WAIT_SECONDS, answered.set)
    assert await runs.p95_by_type() == {"report": pytest.approx(1.0, rel=0.06)}
