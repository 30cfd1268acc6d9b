"""PostgreSQL away: the one alert that has no row while it lasts."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from pointsman_contract import keys
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.outage import OutageWatch
from pointsman_service.app import Process, Role
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.redis import RedisServer
from tests.integration.alert.conftest import Alerting
from tests.peers.http import HTTPPeer, Reply


class Watches:
    """The watches of several processes."""

    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting
        self.servers: list[RedisServer] = []

    def process(self, *, led: bool = False) -> OutageWatch:
        settings = self._alerting.settings
        server = RedisServer(settings.require_redis_url(), settings.redis_timeout_seconds)
        self.servers.append(server)
        return OutageWatch(self._alerting.spine.store, server, Channels(settings), settings, lambda: led)


@pytest.fixture
async def watches(alerting: Alerting) -> AsyncIterator[Watches]:
    made = Watches(alerting)
    yield made
    for server in made.servers:
        await server.close()


async def notice(*watches: OutageWatch) -> None:
    """A pass of each, as if PostgreSQL had been away for a while."""
    for watch in watches:
        watch._away_at = time.monotonic() - 6
        await watch.single_pass()


async def test_outage_is_told_once_by_one_of_many_processes_and_its_end_too(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(200))
    processes = [watches.process() for _ in range(3)]
    for watch in processes:
        await watch.single_pass()
    postgres.kill()
    for _ in range(2):
        await notice(*processes)
    (request,) = http_peer.requests
    told: Any = request.json()
    assert (told["type"], told["data"]["rule"], told["data"]["severity"]) == ("alert.opened", "database_away", "page")
    assert "shown nowhere" in told["data"]["summary"]
    postgres.start()
    for watch in processes:
        await watch.single_pass()
    await alerting.deliver()
    (row,) = await alerting.rows()
    assert str(row["id"]) == told["data"]["id"]
    assert row["since"] < row["resolved_at"]
    first, second = await alerting.deliveries()
    assert (str(first["id"]), first["status"], first["event"]) == (request.headers["webhook-id"], "sent", "opened")
    assert (second["status"], second["event"]) == ("sent", "resolved")
    assert [one.json()["type"] for one in http_peer.requests] == ["alert.opened", "alert.resolved"]
    assert await alerting.spine.server.command("EXISTS", keys.OUTAGE, keys.OUTAGE_SENDER) == 0


async def test_end_is_told_though_another_process_than_the_sender_sees_it_first(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(200))
    sender, other = watches.process(), watches.process()
    postgres.kill()
    # The other notices it while the sender is about to send.
    await alerting.spine.server.command("SET", keys.OUTAGE_SENDER, sender._holder)
    await notice(other, sender)
    postgres.start()
    await other.single_pass()
    await sender.single_pass()
    await other.single_pass()
    await alerting.deliver()
    assert [one.json()["type"] for one in http_peer.requests] == ["alert.opened", "alert.resolved"]
    assert len(await alerting.rows()) == 1


async def test_end_is_told_at_once_though_the_sender_was_stopped_before_it(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(200))
    sender, successor = watches.process(), watches.process()
    postgres.kill()
    await notice(sender, successor)
    await successor.give_up()
    assert await alerting.spine.server.command("GET", keys.OUTAGE_SENDER) == sender._holder.encode()
    await sender.give_up()
    postgres.start()
    await successor.single_pass()
    await alerting.deliver()
    assert [one.json()["type"] for one in http_peer.requests] == ["alert.opened", "alert.resolved"]


async def test_process_that_is_stopped_in_an_outage_leaves_it_to_others(
    alerting: Alerting, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(200))
    server = alerting.spine.server
    process = Process(alerting.settings, {Role.RECONCILER})
    async with process.running():
        postgres.kill()
        assert process._outage_watch is not None
        await notice(process._outage_watch)
        assert await server.command("EXISTS", keys.OUTAGE, keys.OUTAGE_SENDER) == 2
    assert await server.command("EXISTS", keys.OUTAGE, keys.OUTAGE_SENDER) == 1


async def test_blink_is_told_to_nobody(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    watch = watches.process(led=True)
    postgres.kill()
    await watch.single_pass()
    postgres.start()
    await watch.single_pass()
    assert http_peer.requests == []
    assert await alerting.rows() == []


async def test_process_that_takes_over_tells_the_same_outage(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(500), Reply(200))
    first, second = watches.process(), watches.process()
    postgres.kill()
    await notice(first, second)
    # The first dies, and its lease ends.
    await alerting.spine.server.command("DEL", keys.OUTAGE_SENDER)
    await notice(second)
    ids = [request.headers["webhook-id"] for request in http_peer.requests]
    assert (len(ids), len(set(ids))) == (2, 1)
    # A process that starts after all have died writes down what they knew.
    await alerting.spine.server.command("DEL", keys.OUTAGE_SENDER)
    postgres.start()
    await watches.process().single_pass()
    assert [row["rule"] for row in await alerting.rows()] == ["database_away"]
    assert [one["event"] for one in await alerting.deliveries()] == ["opened", "resolved"]


async def test_channel_that_does_not_take_it_is_tried_again_and_not_at_once(
    watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer
) -> None:
    http_peer.on("/hook", Reply(500), Reply(200))
    watch = watches.process()
    postgres.kill()
    with capture_logs() as lines:
        await notice(watch)
        await notice(watch)
    assert len(http_peer.requests) == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning" and "alert" in line] == [
        "an alert was opened",
        "a message about an alert was not delivered, trying again",
    ]
    watch._try_at = {}
    await notice(watch)
    await notice(watch)
    assert len(http_peer.requests) == 2


async def test_with_redis_away_as_well_the_last_leader_tells_it(
    alerting: Alerting, watches: Watches, http_peer: HTTPPeer, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    http_peer.on("/hook", Reply(200))
    leader, other = watches.process(led=True), watches.process()
    postgres.kill()
    valkey.kill()
    for _ in range(2):
        await notice(other, leader)
    assert len(http_peer.requests) == 1
    postgres.start()
    valkey.start()
    await leader.single_pass()
    await alerting.deliver()
    assert [one.json()["type"] for one in http_peer.requests] == ["alert.opened", "alert.resolved"]


async def test_outage_without_a_channel_is_listed_when_it_is_over(
    watches: Watches, alerting: Alerting, postgres: PostgresServer
) -> None:
    without = Watches(Alerting(alerting.spine))
    watch = without.process()
    postgres.kill()
    await notice(watch)
    postgres.start()
    await watch.single_pass()
    (row,) = await alerting.rows()
    assert (row["rule"], row["notified_at"]) == ("database_away", None)
    assert await alerting.deliveries() == []
    for server in without.servers:
        await server.close()
