from typing import Any

import httpx

from pointsman_service.api.now import NowView
from pointsman_service.store.alerts import alerts
from pointsman_service.store.alerts.alerts import NewAlert
from tests.integration.spine import Spine, new_task


async def _now(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/v1/now")
    assert answer.status_code == 200, answer.text
    NowView.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()
    return found


async def test_all_is_well_is_said_with_the_figures_of_the_hour(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.commits.write_batch([new_task(queue="email") for _ in range(3)])

    now = await _now(api)

    assert (now["verdict"], now["causes"], now["unknown"]) == ("healthy", [], [])
    assert now["sentence"] == "All is well. 3 tasks in the last hour, none started, 0 failed for good."
    assert now["last_hour"] == {"tasks": 3, "started_within_target": None, "failed": 0}
    assert {queue["name"]: queue["waiting"] for queue in now["queues"]}["email"] == 3


async def test_open_alert_is_a_cause_with_what_to_do(api: httpx.AsyncClient, spine: Spine) -> None:
    new = NewAlert(
        "no_worker:email", "no_worker", "email", "page", "Nobody.", 0, 1, "processes", "/v1/queues/email", 1.8e9
    )
    async with spine.store.transaction() as connection:
        (opened,) = await alerts.open_new(connection, [new])

    now = await _now(api)

    assert now["verdict"] == "degraded"
    (cause,) = now["causes"]
    assert (cause["severity"], cause["kind"], cause["subject"]) == ("page", "no_worker", "email")
    assert cause["alert_ids"] == [str(opened.id)]
    assert {"kind": "queue", "name": "email", "filter": {}} in [part["link"] for part in cause["parts"]]
    assert cause["remedies"]
