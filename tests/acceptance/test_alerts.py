"""Alerts that reach a person, through HTTP and real processes."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json
from standardwebhooks import Webhook

from service.embedded.ports import HOST, free_port
from service.embedded.valkey import ValkeyServer
from tests.acceptance.processes import Child
from tests.acceptance.stack import GONE, Stack
from tests.acceptance.waiting import until
from tests.peers.http import HTTPPeer, Recorded, Reply
from tests.unit.alert.words import NEW_SECRET

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

SMTP = "/v1/breakers/dependency/smtp"
_SECONDS = 5.0
"""From the opening of a breaker to its message."""


@pytest.fixture
def receiver() -> Iterator[HTTPPeer]:
    with HTTPPeer() as peer:
        peer.on("/hook", Reply(200))
        yield peer


@pytest.fixture
async def alerted(
    database_url: str, own_valkey: ValkeyServer, tmp_path: Path, receiver: HTTPPeer
) -> AsyncIterator[Stack]:
    """An installation whose alerts reach the receiver, with two processes that do all that the service does."""
    channel = {"kind": "webhook", "name": "on-call", "url": f"{receiver.url}/hook", "secrets": [NEW_SECRET]}
    variables = {
        "POINTSMAN_ALERT_CHANNELS": to_json([channel]).decode(),
        "POINTSMAN_ALERT_ALLOW_HTTP": "true",
        "POINTSMAN_ALERT_ALLOW_PRIVATE_TARGETS": "true",
    }
    async with Stack(database_url, own_valkey, tmp_path, processes=1, variables=variables) as stack:
        port = free_port()
        words = ["-m", "service", "all", "--port", str(port)]
        second = Child("second", words, stack.environment, tmp_path / "second.log")
        second.start()

        async def ready() -> bool:
            try:
                return (await stack.http.get(f"http://{HOST}:{port}/readyz")).status_code == 200
            except GONE:
                return False

        try:
            await until(ready, "the second process to be ready")
            yield stack
        finally:
            second.kill()


def about(receiver: HTTPPeer, rule: str) -> list[Recorded]:
    return [request for request in receiver.requests if request.json()["data"]["rule"] == rule]


async def told(receiver: HTTPPeer, rule: str, kind: str, seconds: float = 60.0) -> Recorded:
    async def there() -> Recorded | None:
        return next((one for one in about(receiver, rule) if one.json()["type"] == kind), None)

    return await until(there, f"{kind} of {rule}", seconds)


async def post(stack: Stack, path: str, **body: object) -> Any:
    answer = await stack.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("how", ["forced", "tripped"])
async def test_breaker_that_opens_reaches_its_person_within_five_seconds_once(
    alerted: Stack, receiver: HTTPPeer, how: str
) -> None:
    if how == "forced":
        await post(alerted, f"{SMTP}/force-open", reason="they migrate their database")
    else:
        await post(alerted, f"{SMTP}/outcomes", outcomes=[{"outcome": "failure"}] * 5)
    opened_at = time.monotonic()
    request = await told(receiver, "breaker_open", "alert.opened")
    assert time.monotonic() - opened_at <= _SECONDS
    verified: Any = Webhook(NEW_SECRET).verify(request.body, request.headers)
    (listed,) = (await alerted.http.get("/v1/alerts?state=open&rule=breaker_open")).json()["items"]
    assert (verified["data"]["id"], verified["data"]["subject"]) == (listed["id"], "dependency:smtp")
    await post(alerted, f"{SMTP}/force-close", reason="mended")
    await told(receiver, "breaker_open", "alert.resolved")
    assert [one.json()["type"] for one in about(receiver, "breaker_open")] == ["alert.opened", "alert.resolved"]


async def test_acknowledged_alert_stays_and_a_silenced_cause_is_told_to_nobody(
    alerted: Stack, receiver: HTTPPeer
) -> None:
    await post(alerted, f"{SMTP}/force-open", reason="they migrate their database")
    await told(receiver, "breaker_open", "alert.opened")
    (alert,) = (await alerted.http.get("/v1/alerts?rule=breaker_open")).json()["items"]
    acknowledged = await post(alerted, f"/v1/alerts/{alert['id']}/ack", reason="I know", who="ada")
    assert acknowledged["acknowledged"]["who"] == "ada"
    await post(alerted, f"/v1/alerts/{alert['id']}/silence", reason="they migrate", who="ada", seconds=600)
    await post(alerted, f"{SMTP}/force-close", reason="mended")
    await told(receiver, "breaker_open", "alert.resolved")
    await post(alerted, f"{SMTP}/force-open", reason="again")

    async def listed() -> bool:
        items = (await alerted.http.get("/v1/alerts?state=open&rule=breaker_open")).json()["items"]
        return bool(items) and items[0]["silenced_until"] is not None

    await until(listed, "the second alert")
    test = await alerted.http.post("/v1/alert-channels/on-call/test")
    assert test.status_code == 202
    await told(receiver, "test", "alert.test")
    assert len(about(receiver, "breaker_open")) == 2


async def test_worker_that_is_killed_is_an_alert_until_another_starts(alerted: Stack, receiver: HTTPPeer) -> None:
    # A fresh leader has to watch for a while before it judges workers.
    alerted.worker.kill()
    lost = await told(receiver, "worker_lost", "alert.opened")
    assert lost.json()["data"]["subject"].startswith("acceptance@")
    await alerted.submit("ledger.write", queue="critical")
    await told(receiver, "no_worker", "alert.opened")
    alerted.worker.start()
    await told(receiver, "worker_lost", "alert.resolved")
    await told(receiver, "no_worker", "alert.resolved")
