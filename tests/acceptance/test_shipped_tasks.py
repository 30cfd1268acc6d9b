"""Every shipped task type, submitted over HTTP, run by a real worker, against a real peer."""

import csv
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.peers.http import HTTPPeer, Recorded, Reply
from tests.peers.mqtt import Listener, Mosquitto
from tests.peers.smtp import SMTPPeer
from tests.stand.stack import Row, Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

QUEUES = {
    "auto_close_jobs": "critical",
    "cleanup_cache": "maintenance",
    "create_scheduled_reports": "reports",
    "fetch_weather_data": "external_api",
    "generate_annual_report": "reports",
    "http_request": "external_api",
    "process_mqtt_message": "external_api",
    "send_reminder_email": "email",
}


@dataclass(frozen=True)
class Peers:
    """Whom the tasks talk to."""

    web: HTTPPeer
    mail: SMTPPeer
    broker: Mosquitto
    """Not started: only one test needs it, and a machine may have none."""


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with HTTPPeer() as web, SMTPPeer() as mail:
        yield Peers(web, mail, Mosquitto(tmp_path_factory.mktemp("mosquitto")))


@pytest.fixture(scope="module")
async def shipped(
    peers: Peers, postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """An installation whose workers know the peers."""
    directory = tmp_path_factory.mktemp("shipped")
    database = postgres.start().create_database(template=migrated_template)
    environment = {
        "POINTSMAN_ALLOW_PRIVATE_TARGETS": "true",
        "POINTSMAN_SMTP_HOST": "127.0.0.1",
        "POINTSMAN_SMTP_PORT": str(peers.mail.port),
        "POINTSMAN_SMTP_TLS": "none",
        "POINTSMAN_SMTP_SENDER": "Pointsman <noreply@shop.example>",
        "POINTSMAN_MQTT_HOST": "127.0.0.1",
        "POINTSMAN_MQTT_PORT": str(peers.broker.port),
        "POINTSMAN_MQTT_TLS": "false",
        "POINTSMAN_WEATHER_URL": f"{peers.web.url}/forecast",
    }
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        async with Stack(database, valkey, directory, variables=environment) as running:
            yield running


async def succeed(stack: Stack, task_type: str, **fields: Any) -> Row:
    """The task, submitted and succeeded."""
    task = await stack.finished(await stack.submit(task_type, **fields))
    assert task["state"] == "succeeded", task["error"]
    assert task["queue"] == QUEUES[task_type]
    return task


def text_of(path: str) -> str:
    """What a report says."""
    return Path(path).read_text()


async def test_every_shipped_type_is_listed_with_its_queue_and_its_words(shipped: Stack) -> None:
    answer = await shipped.http.get("/v1/task-types")
    types = {spec["name"]: spec for spec in answer.json()["items"]}
    assert {name: types[name]["queue"] for name in QUEUES} == QUEUES
    for name in QUEUES:
        assert types[name]["description"].endswith("."), name
        assert types[name]["arguments_schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("task_type", "kwargs", "pointer"),
    [
        ("send_reminder_email", {"to": "nobody", "subject": "x", "message": "x"}, "/kwargs/to"),
        ("http_request", {"method": "GET", "url": "file:///etc/passwd"}, "/kwargs/url"),
        ("process_mqtt_message", {"topic": "a/#", "payload": {}}, "/kwargs/topic"),
        ("auto_close_jobs", {"tag": "all", "older_than_seconds": 1}, "/kwargs/tag"),
        ("create_scheduled_reports", {"period": "year"}, "/kwargs/period"),
        ("generate_annual_report", {"year": 26}, "/kwargs/year"),
        ("fetch_weather_data", {"latitude": 91, "longitude": 0}, "/kwargs/latitude"),
        ("cleanup_cache", {"older_than_seconds": -1}, "/kwargs/older_than_seconds"),
    ],
)
async def test_bad_arguments_are_refused_at_submission(
    shipped: Stack, task_type: str, kwargs: dict[str, Any], pointer: str
) -> None:
    answer = await shipped.http.post("/v1/tasks", json={"task_type": task_type, "kwargs": kwargs})
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_reminder_arrives_once_with_the_tasks_id(shipped: Stack, peers: Peers) -> None:
    arguments = {
        "to": "ada@example.org",
        "subject": "Prüfung",
        "message": "Tomorrow.",
        "due_at": "2026-12-01T09:00:00Z",
    }
    task = await succeed(shipped, "send_reminder_email", kwargs=arguments)
    (message,) = peers.mail.messages()
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Prüfung")
    assert message["Message-ID"] == f"<{task['id']}@shop.example>" == task["result"]["message_id"]


async def test_refused_reminder_is_not_tried_again(shipped: Stack, peers: Peers) -> None:
    peers.mail.refusals["gone@example.org"] = "550 no such user"
    arguments = {"to": "gone@example.org", "subject": "x", "message": "x"}
    task = await shipped.finished(await shipped.submit("send_reminder_email", kwargs=arguments))
    assert (task["state"], task["attempt"]) == ("failed", 1)
    assert "550 no such user" in task["error"]["message"]


async def test_called_service_decides_when_it_is_called_again(shipped: Stack, peers: Peers) -> None:
    at: list[datetime] = []

    def answer(request: Recorded) -> Reply:
        at.append(datetime.now(UTC))
        if request.headers["pointsman-attempt"] == "1":
            return Reply(503, b"not now", {"Retry-After": "1"})
        return Reply.of({"seen": request.json()})

    peers.web.on("/orders", answer)
    arguments = {"method": "POST", "url": f"{peers.web.url}/orders", "json": {"order": 17}}
    task = await succeed(shipped, "http_request", kwargs=arguments)
    assert task["attempt"] == 2
    assert task["result"]["body"] == '{"seen": {"order": 17}}'
    assert (at[1] - at[0]).total_seconds() >= 1
    keys = [request.headers["idempotency-key"] for request in peers.web.requests if request.path == "/orders"]
    assert keys == [task["id"], task["id"]]


async def test_trace_of_the_caller_reaches_the_called_service(shipped: Stack, peers: Peers) -> None:
    peers.web.on("/traced", Reply())
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"task_type": "http_request", "kwargs": {"method": "GET", "url": f"{peers.web.url}/traced"}}
    answer = await shipped.http.post("/v1/tasks", json=body, headers={"traceparent": trace})
    await shipped.finished(answer.json()["id"])
    (sent,) = [request.headers for request in peers.web.requests if request.path == "/traced"]
    assert sent["traceparent"].split("-")[1] == trace.split("-")[1]


async def test_acknowledgement_reaches_whoever_listens(shipped: Stack, peers: Peers) -> None:
    with peers.broker, Listener(peers.broker) as listener:
        arguments = {"topic": "home/kitchen", "payload": {"id": "r-1", "celsius": 21.5}}
        task = await succeed(shipped, "process_mqtt_message", kwargs=arguments)
        topic, qos, acknowledgement = listener.next()
    assert (topic, qos) == ("home/kitchen/ack", 1)
    assert (acknowledgement["task_id"], acknowledgement["message_id"]) == (task["id"], "r-1")
    assert task["result"]["broker_said"] == "Success"


async def test_weather_is_fetched(shipped: Stack, peers: Peers) -> None:
    now = {"temperature_2m": -3.5, "relative_humidity_2m": 81, "wind_speed_10m": 4.2, "weather_code": 73}
    forecast = {"latitude": 59.91, "longitude": 10.75, "current": now | {"time": "2026-11-22T12:00"}}
    peers.web.on("/forecast", Reply.of(forecast))
    task = await succeed(shipped, "fetch_weather_data", kwargs={"latitude": 59.9133, "longitude": 10.739})
    assert (task["result"]["temperature_celsius"], task["result"]["condition"]) == (-3.5, "snow")


async def test_cache_is_cleaned(shipped: Stack) -> None:
    cache = shipped.directory / "cache"
    first = await succeed(shipped, "cleanup_cache")
    assert (first["result"]["directory"], first["result"]["files_deleted"]) == (str(cache), 0)
    (cache / "old").write_bytes(b"abc")
    task = await succeed(shipped, "cleanup_cache", kwargs={"older_than_seconds": 0})
    assert (task["result"]["files_deleted"], task["result"]["bytes_freed"]) == (1, 3)
    assert not (cache / "old").exists()


async def test_waiting_tasks_of_a_tag_are_closed_and_others_are_not(shipped: Stack, tmp_path: Path) -> None:
    releases = [tmp_path / "one", tmp_path / "two"]
    holding = [await shipped.submit("ledger.hold", args=[str(release)], queue="critical") for release in releases]
    await shipped.wait_for_effects(holding)
    mine = [await shipped.submit("noop", tags={"tenant": "42"}) for _ in range(3)]
    other = await shipped.submit("noop", tags={"tenant": "43"})
    arguments = {"tag": "tenant:42", "older_than_seconds": 0}
    closing = await shipped.submit("auto_close_jobs", kwargs=arguments)
    # One process is free again, and takes what is critical first.
    releases[0].touch()
    closed = await shipped.finished(closing)
    releases[1].touch()
    assert (closed["state"], closed["result"]["cancelled"], closed["result"]["failed"]) == ("succeeded", 3, 0)
    assert sorted(closed["result"]["ids"]) == sorted(mine)
    assert {(await shipped.task(task_id))["state"] for task_id in mine} == {"cancelled"}
    assert (await shipped.finished(other))["state"] == "succeeded"
    again = await succeed(shipped, "auto_close_jobs", kwargs=arguments)
    assert again["result"]["matched"] == 0


async def test_report_says_what_was_done(shipped: Stack) -> None:
    await succeed(shipped, "cleanup_cache")
    task = await succeed(shipped, "create_scheduled_reports", kwargs={"period": "day", "so_far": True})
    result = task["result"]
    assert Path(result["html"]).parent == shipped.directory / "reports"
    assert "cleanup_cache" in text_of(result["html"])
    rows = list(csv.DictReader(text_of(result["csv"]).splitlines()))
    (cleaned,) = [row for row in rows if (row["scope"], row["name"]) == ("task_type", "cleanup_cache")]
    # Another day may have begun since: then it counts what was done in it.
    assert 1 <= int(cleaned["succeeded"]) <= result["succeeded"]
    steps = [int(row["succeeded"]) for row in rows if row["scope"] == "step"]
    assert sum(steps) >= result["succeeded"] > 0


async def test_year_is_reported_with_its_progress(shipped: Stack) -> None:
    await succeed(shipped, "cleanup_cache")
    task = await succeed(shipped, "generate_annual_report")
    assert task["result"]["days_known"] >= 1
    assert task["result"]["succeeded"] >= 1
    assert (task["progress"]["current"], task["progress"]["total"]) == (12, 12)
    assert f"The year {task['result']['year']}" in text_of(task["result"]["html"])
