"""Alerts that reach a person, through HTTP and real processes."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic_core import to_json
from standardwebhooks import Webhook

from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.peers.http import HTTPPeer, Recorded, Reply
from tests.stand.processes import Child
from tests.stand.stack import GONE, Stack
from tests.stand.waiting import SLOWEST, until
from tests.unit.alert.words import NEW_SECRET

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

SMTP = "/v1/breakers/dependency/smtp"
_SECONDS = 5.0
"""From the opening of a breaker to its message."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[HTTPPeer]:
    with HTTPPeer() as peer:
        peer.on("/hook", Reply(200))
        yield peer


@pytest.fixture(scope="module")
async def alerted(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory, receiver: HTTPPeer
) -> AsyncIterator[Stack]:
    """An installation whose alerts reach the receiver, with two processes that do all that the service does."""
    directory = tmp_path_factory.mktemp("alerted")
    database = postgres.start().create_database(template=migrated_template)
    channel = {"kind": "webhook", "name": "on-call", "url": f"{receiver.url}/hook", "secrets": [NEW_SECRET]}
    variables = {
        "POINTSMAN_ALERT_CHANNELS": to_json([channel]).decode(),
        "POINTSMAN_ALERT_ALLOW_HTTP": "true",
        "POINTSMAN_CIRCUIT_BREAKER": "{}",
        "POINTSMAN_ALERT_ALLOW_PRIVATE_TARGETS": "true",
    }
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        async with Stack(database, valkey, directory, processes=1, variables=variables) as stack:
            port = free_port()
            words = ["-m", "pointsman_service", "all", "--port", str(port)]
            second = Child("second", words, stack.environment, directory / "second.log")
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


def about(receiver: HTTPPeer, subject: str) -> list[Recorded]:
    return [request for request in receiver.requests if request.json()["data"]["subject"] == subject]


async def told(receiver: HTTPPeer, subject: str, kind: str, rule: str | None = None) -> Recorded:
    async def there() -> Recorded | None:
        found = [one for one in about(receiver, subject) if one.json()["type"] == kind]
        return next((one for one in found if rule in (None, one.json()["data"]["rule"])), None)

    return await until(there, f"{kind} about {subject}")


async def post(stack: Stack, path: str, **body: object) -> Any:
    answer = await stack.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_breaker_that_opens_reaches_its_person_within_five_seconds_once(
    alerted: Stack, receiver: HTTPPeer
) -> None:
    for name, how, body in (
        ("smtp", "force-open", {"reason": "they migrate their database", "new": True}),
        ("api.bank.example", "outcomes", {"outcomes": [{"outcome": "failure"}] * 5}),
    ):
        await post(alerted, f"/v1/breakers/dependency/{name}/{how}", **body)
        opened_at = time.monotonic()
        request = await told(receiver, f"dependency:{name}", "alert.opened")
        assert time.monotonic() - opened_at <= SLOWEST * _SECONDS
        verified: Any = Webhook(NEW_SECRET).verify(request.body, request.headers)
        (listed, *_) = (await alerted.http.get("/v1/alerts?state=open&rule=breaker_open")).json()["items"]
        assert (verified["data"]["id"], verified["data"]["subject"]) == (listed["id"], f"dependency:{name}")
    smtp = about(receiver, "dependency:smtp")[0].json()["data"]["id"]
    await post(alerted, f"/v1/alerts/{smtp}/ack", reason="I know", who="ada")
    await post(alerted, f"/v1/alerts/{smtp}/silence", reason="they migrate", who="ada", seconds=600)
    await post(alerted, f"{SMTP}/force-close", reason="mended")
    await told(receiver, "dependency:smtp", "alert.resolved")
    await post(alerted, f"{SMTP}/force-open", reason="again")

    async def silenced() -> bool:
        items = (await alerted.http.get("/v1/alerts?state=open&rule=breaker_open")).json()["items"]
        return any(item["silenced_until"] and item["subject"] == "dependency:smtp" for item in items)

    await until(silenced, "the alert that is silenced")
    # What was to be told before this is told by now.
    assert (await alerted.http.post("/v1/alert-channels/on-call/test")).status_code == 202
    await told(receiver, "on-call", "alert.test")
    kinds = [one.json()["type"] for one in about(receiver, "dependency:smtp")]
    assert kinds == ["alert.opened", "alert.resolved"]
    assert len(about(receiver, "dependency:api.bank.example")) == 1


async def test_worker_that_is_killed_is_an_alert_until_another_starts(alerted: Stack, receiver: HTTPPeer) -> None:
    (worker,) = (await alerted.http.get("/v1/workers")).json()["items"]
    # Whoever leads has to watch for a while before it judges workers.
    alerted.worker.kill()
    await told(receiver, worker["name"], "alert.opened")
    await alerted.submit("ledger.write", queue="critical")
    await told(receiver, "critical", "alert.opened", "no_worker")
    alerted.worker.start()
    await told(receiver, worker["name"], "alert.resolved")
    await told(receiver, "critical", "alert.resolved", "no_worker")


async def test_outage_of_postgres_is_told_once_while_it_lasts_and_written_down_afterwards(
    alerted: Stack, receiver: HTTPPeer, postgres: PostgresServer
) -> None:
    # A message whose answer the crash keeps from being written down is told again, under its old id.
    told_before = {one.headers["webhook-id"] for one in receiver.requests}
    postgres.kill()
    request = await told(receiver, "", "alert.opened", "database_away")
    assert (await alerted.http.get("/v1/alerts")).status_code == 503
    postgres.start()
    await told(receiver, "", "alert.resolved", "database_away")
    new = [one.json()["data"] for one in receiver.requests if one.headers["webhook-id"] not in told_before]
    assert [(one["rule"], one["event"]) for one in new] == [("database_away", "opened"), ("database_away", "resolved")]
    (alert,) = (await alerted.http.get("/v1/alerts?rule=database_away")).json()["items"]
    assert (alert["id"], alert["state"]) == (request.json()["data"]["id"], "resolved")
