from typing import Any

import httpx
import pytest

from pointsman_contract.catalogue import WORDS_AFTER_NAME, TaskTypeSpec

WRITTEN = ["billing/eu/charge", "billing%2Feu%2Fcharge", "billing%2feu/charge"]
REASON = {"reason": "they said so"}


@pytest.fixture(autouse=True)
async def _published(publish_types: Any) -> None:
    await publish_types(
        *(TaskTypeSpec(name=name, time_limit_seconds=9) for name in ("billing/eu/charge", "history/all", "history"))
    )


async def test_a_task_type_whose_name_has_slashes_has_an_address(api: httpx.AsyncClient) -> None:
    for name in WRITTEN:
        answer = await api.get(f"/v1/task-types/{name}")
        assert (answer.status_code, answer.json()["name"]) == (200, "billing/eu/charge")
    assert (await api.get("/v1/task-types/billing/eu")).status_code == 404


@pytest.mark.parametrize("name", WRITTEN[:2])
async def test_so_has_its_circuit_breaker_and_all_that_can_be_asked_of_it(api: httpx.AsyncClient, name: str) -> None:
    path = f"/v1/breakers/task_type/{name}"
    acts = [
        await api.post(f"{path}/force-open", json=REASON),
        await api.get(path),
        await api.put(path, json={"failure_threshold": 9}),
        await api.delete(f"{path}/policy"),
        await api.post(f"{path}/disable", json=REASON),
        await api.post(f"{path}/reset", json=REASON),
        await api.post(f"{path}/outcomes", json={"outcomes": [{"outcome": "failure"}]}),
        await api.post(f"{path}/force-close", json=REASON),
    ]
    assert [(answer.status_code, answer.json().get("name")) for answer in acts] == [(200, "billing/eu/charge")] * 8
    assert (await api.post(f"{path}/permits")).json()["granted"]
    history = (await api.get(f"{path}/history")).json()["items"]
    assert {line["name"] for line in history} == {"billing/eu/charge"}


async def test_words_of_the_paths_are_no_less_names(api: httpx.AsyncClient) -> None:
    for name in ("history/all", "history"):
        path = f"/v1/breakers/task_type/{name}"
        assert (await api.post(f"{path}/force-open", json=REASON)).json()["name"] == name
        assert (await api.get(path)).json()["name"] == name
        assert [line["name"] for line in (await api.get(f"{path}/history")).json()["items"]] == [name]


async def test_what_is_no_name_with_slashes_is_not_taken_for_one(api: httpx.AsyncClient) -> None:
    for word in WORDS_AFTER_NAME[:3]:
        assert (await api.get(f"/v1/breakers/task_type/billing/eu/charge/{word}")).status_code == 405
    for path in ("dependency/a/b", "dependency/a%2Fb", "worker/a/b"):
        assert (await api.get(f"/v1/breakers/{path}")).status_code == 404
        assert (await api.post(f"/v1/breakers/{path}/force-open", json=REASON)).status_code == 404
