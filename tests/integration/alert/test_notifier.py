import asyncio
import socket
import time
from typing import Any

import pytest
from standardwebhooks import Webhook

from pointsman_service.alert.notifier import Notifier
from pointsman_service.embedded.ports import free_port
from tests.integration.alert.conftest import Alerting
from tests.integration.spine import Spine
from tests.peers.http import HTTPPeer, Reply
from tests.unit.alert.words import NEW_SECRET, webhook


async def test_message_is_signed_and_says_what_since_and_what_to_do(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(200))
    await alerting.trip()
    await alerting.look()
    (request,) = http_peer.requests
    verified: Any = Webhook(NEW_SECRET).verify(request.body, request.headers)
    data = verified["data"]
    assert (verified["type"], data["key"]) == ("alert.opened", "breaker_open:dependency:smtp")
    assert data["link"] == "/v1/breakers/dependency/smtp"
    assert data["next_step"]
    (delivery,) = await alerting.deliveries()
    assert request.headers["webhook-id"] == str(delivery["id"])
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("sent", 1, "HTTP 200")


async def test_message_is_tried_again_after_500_with_the_same_id_and_body(
    alerting: Alerting, http_peer: HTTPPeer
) -> None:
    http_peer.on("/hook", Reply(500), Reply(503), Reply(200))
    await alerting.trip()
    for _ in range(3):
        await alerting.look()
        await alerting.let_time_pass()
    assert [request.headers["webhook-id"] for request in http_peer.requests] == [
        http_peer.requests[0].headers["webhook-id"]
    ] * 3
    assert len({request.body for request in http_peer.requests}) == 1
    (delivery,) = await alerting.deliveries()
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("sent", 3, None)


async def test_failed_attempt_is_written_down_and_waits(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(500, b"secret of the receiver"))
    await alerting.trip()
    await alerting.look()
    await alerting.look()
    assert len(http_peer.requests) == 1
    (delivery,) = await alerting.deliveries()
    assert (delivery["status"], delivery["last_status"], delivery["error"]) == (
        "pending",
        "HTTP 500",
        "the receiver answered 500",
    )


async def test_receiver_that_says_when_to_come_again_is_left_alone_until_then(
    alerting: Alerting, http_peer: HTTPPeer, closed_spine: Spine
) -> None:
    http_peer.on("/hook", Reply(429, headers={"Retry-After": "120"}), Reply(200))
    await alerting.trip("one")
    await alerting.look()
    # Another message for the same receiver waits, too.
    await alerting.trip("two")
    await alerting.look()
    await alerting.look()
    assert len(http_peer.requests) == 1
    rows = await closed_spine.rows(
        "SELECT attempts, extract(epoch FROM next_at - now())::float8 AS left FROM alert_delivery ORDER BY id"
    )
    assert [row["attempts"] for row in rows] == [1, 0]
    assert 110 < rows[0]["left"] <= 120


async def test_receiver_that_asks_for_more_than_there_is_gets_a_last_attempt(
    alerting: Alerting, http_peer: HTTPPeer, closed_spine: Spine
) -> None:
    http_peer.on("/hook", Reply(503, headers={"Retry-After": "9" * 30}))
    await alerting.trip()
    await alerting.look()
    (row,) = await closed_spine.rows(
        "SELECT extract(epoch FROM next_at - created_at)::float8 AS after FROM alert_delivery"
    )
    assert 86_390 < row["after"] <= 86_410


async def test_receiver_that_refuses_connections_is_tried_again(closed_spine: Spine) -> None:
    alerting = Alerting(closed_spine, webhook(url=f"http://127.0.0.1:{free_port()}/secret-path"))
    await alerting.trip()
    await alerting.look()
    (delivery,) = await alerting.deliveries()
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("pending", 1, "ConnectError")
    assert "secret-path" not in delivery["error"]


async def test_receiver_that_does_not_answer_costs_its_time_limit_and_does_not_hold_up_others(
    closed_spine: Spine, http_peer: HTTPPeer
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    silent = webhook(name="silent", url=f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout_seconds=0.3)
    http_peer.on("/hook", Reply(200))
    alerting = Alerting(closed_spine, silent, webhook(name="quick", url=f"{http_peer.url}/hook"))
    await alerting.trip()
    await alerting.sweep.single_pass()
    began = time.monotonic()
    await alerting.deliver()
    assert time.monotonic() - began < 5
    by_channel = {one["channel"]: one for one in await alerting.deliveries()}
    assert by_channel["quick"]["status"] == "sent"
    assert (by_channel["silent"]["last_status"], by_channel["silent"]["status"]) == ("timeout", "pending")
    listening.close()


async def test_message_is_given_up_after_a_day(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(500))
    await alerting.trip()
    await alerting.look()
    await alerting.spine.run("UPDATE alert_delivery SET created_at = now() - interval '25 hours', next_at = now()")
    await alerting.deliver()
    (delivery,) = await alerting.deliveries()
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("gave_up", 2, "HTTP 500")
    await alerting.let_time_pass()
    await alerting.deliver()
    assert len(http_peer.requests) == 2


async def test_end_is_not_told_before_the_beginning(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(500), Reply(200))
    await alerting.trip()
    await alerting.look()
    await alerting.resolve()
    await alerting.deliver()
    assert len(http_peer.requests) == 1
    await alerting.let_time_pass()
    await alerting.deliver()
    assert [request.json()["type"] for request in http_peer.requests] == ["alert.opened"] * 2 + ["alert.resolved"]


async def test_notifiers_side_by_side_send_each_message_once(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(200))
    for number in range(10):
        await alerting.trip(f"host-{number}")
    await alerting.sweep.single_pass()
    notifiers = [alerting.another_notifier() for _ in range(4)]

    async def work(notifier: Notifier) -> None:
        await notifier.single_pass()
        await notifier.settle()

    while any(one["status"] == "pending" for one in await alerting.deliveries()):
        await asyncio.gather(*map(work, notifiers))
    ids = [request.headers["webhook-id"] for request in http_peer.requests]
    assert (len(ids), len(set(ids))) == (10, 10)


async def test_message_of_a_notifier_that_died_is_sent_by_another_with_the_same_id(
    alerting: Alerting, http_peer: HTTPPeer
) -> None:
    http_peer.on("/hook", Reply(200))
    await alerting.trip()
    await alerting.sweep.single_pass()
    # Sent, and not written down.
    await alerting.notifier.single_pass()
    for task in alerting.notifier._under_way:
        task.cancel()
    await asyncio.gather(*alerting.notifier._under_way, return_exceptions=True)
    (before,) = await alerting.deliveries()
    assert (before["status"], before["attempts"]) == ("pending", 1)
    another = alerting.another_notifier()
    assert await another.single_pass() is False
    assert not another._under_way, "it is leased"
    await alerting.let_time_pass()
    await another.single_pass()
    await another.settle()
    (after,) = await alerting.deliveries()
    assert (after["id"], after["status"], after["attempts"]) == (before["id"], "sent", 2)


async def test_message_of_a_channel_that_is_gone_is_dropped(alerting: Alerting, closed_spine: Spine) -> None:
    await alerting.trip()
    await alerting.sweep.single_pass()
    without = Alerting(closed_spine)
    await without.deliver()
    (delivery,) = await alerting.deliveries()
    assert (delivery["status"], delivery["attempts"]) == ("dropped", 1)


async def test_what_is_under_way_ends_before_the_process_does(alerting: Alerting, http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(200))
    await alerting.trip()
    await alerting.sweep.single_pass()
    await alerting.notifier.single_pass()
    await alerting.notifier.give_up()
    (delivery,) = await alerting.deliveries()
    assert delivery["status"] == "sent"


@pytest.mark.parametrize(("attempts", "bound"), [(1, 5), (2, 10), (5, 80), (11, 3600), (500, 3600)])
def test_pause_is_drawn_below_a_bound_that_doubles(attempts: int, bound: float) -> None:
    nothing: Any = type("Nothing", (), {"by_name": {}, "alert_give_up_seconds": 1.0})
    longest = Notifier(nothing, nothing, nothing, draw=lambda: 1.0).delay_after(attempts)
    assert longest == bound
    assert Notifier(nothing, nothing, nothing, draw=lambda: 0.0).delay_after(attempts) == 1.0
