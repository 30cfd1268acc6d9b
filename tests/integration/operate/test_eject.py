import asyncio
from typing import Any

import httpx
import pytest

from pointsman_contract import keys
from pointsman_service.api.workers.actions import WorkerEjection
from pointsman_service.api.workers.routes import WorkerView
from pointsman_service.breaker.registry import Registry
from pointsman_service.reconcile.outliers import OutlierSweep
from tests.integration.operate.ended import PROBLEM
from tests.integration.reconcile.test_outliers import bad_one, lives, states, told
from tests.integration.spine import Spine

A, B = "a@h", "b@h"
REASON = {"reason": "its disk is full"}


@pytest.fixture
def sweep(closed_spine: Spine) -> OutlierSweep:
    registry = Registry(closed_spine.store, closed_spine.settings)
    return OutlierSweep(closed_spine.store, closed_spine.server, registry, closed_spine.settings)


async def act(api: httpx.AsyncClient, verb: str, name: str = A, **more: Any) -> dict[str, Any]:
    answer = await api.post(f"/v1/workers/{name}/{verb}", json=REASON | more)
    assert answer.status_code == 200, answer.text
    WorkerEjection.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()
    return found


async def test_ejected_by_hand_it_is_shown_told_and_kept_from_judgement(
    closed_spine: Spine, api: httpx.AsyncClient, sweep: OutlierSweep
) -> None:
    await lives(closed_spine, A, B)
    found = await act(api, "eject", expires_in_seconds=3600)
    assert (found["ejected"], found["pool"], found["reason"], found["actor"]) == (
        True, "pool", "its disk is full", "local",
    )  # fmt: skip
    assert found["since"] < found["until"]
    assert found["warning"] is None
    await sweep.single_pass()
    assert await told(closed_spine) == {A, keys.EJECTED_KNOWN}
    workers = {one["name"]: one for one in (await api.get("/v1/workers")).json()["items"]}
    for one in workers.values():
        WorkerView.model_validate(one)
    assert (workers[A]["ejected"], workers[A]["ejected_reason"]) == (True, "its disk is full")
    assert workers[A]["ejected_until"] == found["until"]
    assert (workers[B]["ejected"], workers[B]["ejected_since"]) == (False, None)
    breaker = (await api.get(f"/v1/breakers/worker/{A}")).json()
    assert breaker["state"] == "forced_open"
    queue = (await api.get("/v1/queues/maintenance")).json()
    assert queue["consumers"] == 1
    text = (await api.get("/metrics")).text
    assert 'pointsman_workers_ejected{pool="other"} 1.0' in text
    assert 'pointsman_workers_up{pool="other"} 2.0' in text


async def test_last_one_of_its_queues_is_ejected_with_a_warning_and_stays_ejected(
    closed_spine: Spine, api: httpx.AsyncClient, sweep: OutlierSweep
) -> None:
    await lives(closed_spine, A)
    found = await act(api, "eject")
    assert found["warning"] == "No live worker is left on maintenance: what is due there waits."
    assert found["until"] is None
    await sweep.single_pass()
    assert await states(closed_spine) == {A: "forced_open"}


async def test_one_that_is_not_live_is_ejected_with_a_warning(closed_spine: Spine, api: httpx.AsyncClient) -> None:
    await lives(closed_spine, A, age=600)
    assert (await act(api, "eject"))["warning"] == "This worker is not live: it is ejected when it comes back."


async def test_admitted_it_comes_back_whoever_ejected_it(
    closed_spine: Spine, api: httpx.AsyncClient, sweep: OutlierSweep
) -> None:
    await bad_one(closed_spine, [A, B])
    await sweep.single_pass()
    assert await told(closed_spine) == {A, keys.EJECTED_KNOWN}
    found = await act(api, "admit")
    assert (found["ejected"], found["on_probation"], found["since"]) == (False, False, None)
    await sweep.single_pass()
    assert await told(closed_spine) == {keys.EJECTED_KNOWN}
    await act(api, "eject")
    assert (await act(api, "admit"))["ejected"] is False
    history = (await api.get(f"/v1/breakers/worker/{A}/history")).json()["items"]
    assert [(one["from"], one["to"]) for one in reversed(history)] == [
        ("closed", "open"), ("open", "closed"), ("closed", "forced_open"), ("forced_open", "closed"),
    ]  # fmt: skip
    assert history[0]["reason"] == "its disk is full"


async def test_admitting_one_that_is_on_its_queues_changes_nothing(closed_spine: Spine, api: httpx.AsyncClient) -> None:
    await lives(closed_spine, A)
    assert (await act(api, "admit"))["ejected"] is False
    assert await closed_spine.rows("SELECT id FROM breaker_transition") == []


async def test_ejection_expires(closed_spine: Spine, api: httpx.AsyncClient, sweep: OutlierSweep) -> None:
    await lives(closed_spine, A, B)
    await act(api, "eject", expires_in_seconds=0.001)
    registry = Registry(closed_spine.store, closed_spine.settings)
    await registry.turn(10)
    await sweep.single_pass()
    assert await states(closed_spine) == {A: "closed"}
    assert await told(closed_spine) == {keys.EJECTED_KNOWN}


async def test_eject_and_admit_at_once_end_in_one_of_both(
    closed_spine: Spine, api: httpx.AsyncClient, sweep: OutlierSweep
) -> None:
    await lives(closed_spine, A, B)
    await asyncio.gather(*[act(api, verb) for verb in ("eject", "admit") * 5])
    await sweep.single_pass()
    off = (await states(closed_spine))[A] == "forced_open"
    assert (A in await told(closed_spine)) is off


@pytest.mark.parametrize("verb", ["eject", "admit"])
async def test_unknown_worker_is_a_problem_document(api: httpx.AsyncClient, verb: str) -> None:
    answer = await api.post(f"/v1/workers/nobody@h/{verb}", json=REASON)
    assert (answer.status_code, answer.json()["type"]) == (404, f"{PROBLEM}unknown-worker")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (A, {}),
        (A, {"reason": ""}),
        (A, {"reason": "x", "expires_in_seconds": 0}),
        (A, {"reason": "x", "expires_in_seconds": "soon"}),
        (A, {"reason": "x\0"}),
        (A, {"reason": "x", "until": None}),
        ("%00", {"reason": "x"}),
    ],
)
async def test_bad_requests_are_refused(
    closed_spine: Spine, api: httpx.AsyncClient, name: str, body: dict[str, Any]
) -> None:
    await lives(closed_spine, A)
    answer = await api.post(f"/v1/workers/{name}/eject", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert await states(closed_spine) == {}
