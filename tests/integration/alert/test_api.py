from typing import Any
from uuid import uuid4

import httpx
import pytest

from pointsman_service.api.alerts.view import AlertView, DeliveryList
from tests.integration.alert.conftest import Alerting
from tests.peers.http import HTTPPeer, Reply
from tests.unit.alert.words import NEW_SECRET

REASON = {"reason": "I call them", "who": "ada"}


async def one(api: httpx.AsyncClient) -> dict[str, Any]:
    (found,) = (await api.get("/v1/alerts")).json()["items"]
    return dict(found)


@pytest.fixture
async def alert(alerting: Alerting, api: httpx.AsyncClient) -> dict[str, Any]:
    await alerting.trip()
    await alerting.sweep.single_pass()
    return await one(api)


async def test_alert_says_what_since_and_what_to_do(alert: dict[str, Any], api: httpx.AsyncClient) -> None:
    answer = await api.get(f"/v1/alerts/{alert['id']}")
    AlertView.model_validate_json(answer.content, strict=True)
    assert answer.json() == alert
    assert (alert["state"], alert["severity"], alert["acknowledged"]) == ("open", "ticket", None)
    assert (await api.get(alert["link"])).json()["state"] == "open"
    assert alert["documentation"] == "docs/troubleshooting.md#a-breaker-is-open"


async def test_list_is_the_newest_first_in_pages_and_can_be_narrowed(
    alerting: Alerting, api: httpx.AsyncClient
) -> None:
    for name in ("a", "b", "c"):
        await alerting.trip(name)
        await alerting.sweep.single_pass()
    await alerting.resolve("a")
    first = (await api.get("/v1/alerts", params={"limit": 2})).json()
    rest = (await api.get("/v1/alerts", params={"cursor": first["next_cursor"]})).json()
    subjects = [item["subject"] for item in first["items"] + rest["items"]]
    assert subjects == ["dependency:c", "dependency:b", "dependency:a"]
    assert rest["next_cursor"] is None

    async def narrowed(**wanted: str) -> list[str]:
        return [item["subject"] for item in (await api.get("/v1/alerts", params=wanted)).json()["items"]]

    assert await narrowed(state="resolved") == ["dependency:a"]
    assert await narrowed(state="open") == ["dependency:c", "dependency:b"]
    assert await narrowed(severity="page") == []
    assert len(await narrowed(severity="ticket", rule="breaker_open", acknowledged="false")) == 3


async def test_first_who_acknowledges_stays(alert: dict[str, Any], api: httpx.AsyncClient) -> None:
    answer = await api.post(f"/v1/alerts/{alert['id']}/ack", json=REASON)
    assert answer.status_code == 200
    acknowledged = answer.json()["acknowledged"]
    assert (acknowledged["who"], acknowledged["reason"]) == ("ada", "I call them")
    again = await api.post(f"/v1/alerts/{alert['id']}/ack", json={"reason": "me too"})
    assert again.json()["acknowledged"] == acknowledged


async def test_alert_that_is_over_cannot_be_acknowledged(
    alert: dict[str, Any], alerting: Alerting, api: httpx.AsyncClient
) -> None:
    await alerting.resolve()
    answer = await api.post(f"/v1/alerts/{alert['id']}/ack", json=REASON)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pointsman:problem:alert-resolved")


async def test_silenced_cause_is_listed_and_nobody_is_told_until_the_silence_ends(
    alert: dict[str, Any], alerting: Alerting, api: httpx.AsyncClient
) -> None:
    silence = await api.post(f"/v1/alerts/{alert['id']}/silence", json=REASON | {"seconds": 3600})
    assert (silence.status_code, silence.json()["matcher"]) == (200, alert["key"])
    await alerting.resolve()
    await alerting.trip()
    await alerting.sweep.single_pass()
    newest, _ = (await api.get("/v1/alerts")).json()["items"]
    assert (newest["silenced_until"], newest["notified_at"]) == (silence.json()["until"], None)
    told = [one["event"] for one in await alerting.deliveries()]
    assert told == ["opened", "resolved"], "of the first one, which was not silenced when it began"
    assert [one["id"] for one in (await api.get("/v1/alert-silences")).json()["items"]] == [silence.json()["id"]]
    await api.post(f"/v1/alerts/{newest['id']}/unsilence")
    assert (await api.get("/v1/alert-silences")).json()["items"] == []
    await alerting.sweep.single_pass()
    assert [one["event"] for one in await alerting.deliveries()] == ["opened", "resolved", "opened"]


async def test_silenced_alert_that_ends_unheard_stays_unheard(alerting: Alerting, api: httpx.AsyncClient) -> None:
    await alerting.trip("first")
    await alerting.sweep.single_pass()
    first = await one(api)
    silence = await api.post(f"/v1/alerts/{first['id']}/silence", json=REASON | {"seconds": 60, "of": "rule"})
    assert silence.json()["matcher"] == "breaker_open"
    await alerting.trip("second")
    await alerting.sweep.single_pass()
    await alerting.resolve("second")
    assert len(await alerting.deliveries()) == 1


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("ack", {}, "/reason"),
        ("ack", {"reason": ""}, "/reason"),
        ("ack", REASON | {"seconds": 5}, "/seconds"),
        ("silence", REASON, "/seconds"),
        ("silence", REASON | {"seconds": 0}, "/seconds"),
        ("silence", REASON | {"seconds": 1e10}, "/seconds"),
        ("silence", REASON | {"seconds": 5, "of": "all"}, "/of"),
        ("silence", {"reason": "a\x00b", "seconds": 5}, "/reason"),
        ("unsilence", {"colour": "red"}, "/colour"),
    ],
)
async def test_body_that_does_not_fit_is_refused_by_field(
    alert: dict[str, Any], api: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    answer = await api.post(f"/v1/alerts/{alert['id']}/{path}", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_alert_that_is_not_there_is_404(api: httpx.AsyncClient) -> None:
    unknown = f"/v1/alerts/{uuid4()}"
    answers = [
        await api.get(unknown),
        await api.get(f"{unknown}/deliveries"),
        await api.post(f"{unknown}/ack", json=REASON),
        await api.post(f"{unknown}/silence", json=REASON | {"seconds": 5}),
        await api.post(f"{unknown}/unsilence"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert {answer.json()["type"] for answer in answers} == {"urn:pointsman:problem:unknown-alert"}


@pytest.mark.parametrize(
    "path", ["/v1/alerts/x", "/v1/alerts?state=lost", "/v1/alerts?cursor=x", "/v1/alerts?limit=0", "/v1/alerts?q=1"]
)
async def test_question_that_makes_no_sense_is_422(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 422


async def test_deliveries_are_listed_with_what_they_came_to_and_no_secret(
    alert: dict[str, Any], alerting: Alerting, api: httpx.AsyncClient, http_peer: HTTPPeer
) -> None:
    http_peer.on("/hook", Reply(500))
    await alerting.deliver()
    answer = await api.get(f"/v1/alerts/{alert['id']}/deliveries")
    (delivery,) = answer.json()["items"]
    DeliveryList.model_validate_json(answer.content, strict=True)
    assert (delivery["channel"], delivery["status"], delivery["attempts"]) == ("on-call", "pending", 1)
    assert (delivery["last_status"], delivery["error"]) == ("HTTP 500", "the receiver answered 500")
    pending = (await api.get("/v1/alert-deliveries", params={"status": "pending", "channel": "on-call"})).json()
    assert pending["items"] == [delivery]
    assert (await api.get("/v1/alert-deliveries", params={"status": "sent"})).json()["items"] == []
    listed = (await api.get("/v1/alert-channels")).text
    for secret in (NEW_SECRET, "/hook"):
        assert secret not in answer.text + listed


async def test_messages_to_a_channel_that_never_was_are_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/alert-deliveries", params={"channel": "nobody"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/channel")


async def test_channel_is_tested_by_a_message_of_its_own(
    alerting: Alerting, api: httpx.AsyncClient, http_peer: HTTPPeer
) -> None:
    http_peer.on("/hook", Reply(200))
    answer = await api.post("/v1/alert-channels/on-call/test")
    assert (answer.status_code, answer.json()["event"], answer.json()["alert_id"]) == (202, "test", None)
    await alerting.deliver()
    (request,) = http_peer.requests
    assert request.json()["type"] == "alert.test"
    (delivery,) = (await api.get("/v1/alert-deliveries", params={"channel": "on-call"})).json()["items"]
    assert (delivery["id"], delivery["status"]) == (answer.json()["id"], "sent")
    unknown = await api.post("/v1/alert-channels/nobody/test")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:pointsman:problem:unknown-alert-channel")


async def test_open_alerts_are_a_metric_by_rule_and_severity(alert: dict[str, Any], api: httpx.AsyncClient) -> None:
    text = (await api.get("/metrics")).text
    assert 'pointsman_alerts_open{rule="breaker_open",severity="ticket"} 1.0' in text
    assert alert["id"] not in text
