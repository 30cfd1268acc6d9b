"""Our transport beside kombu's, on one server: the same lists, the same unacknowledged messages, nothing lost."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Exchange, Queue

from pointsman.transport import of_pointsman, register
from pointsman.transport.qos import held_by
from pointsman_contract import keys
from pointsman_contract.queues import STEPS, list_key
from pointsman_service.broker import Envelope, encode
from tests.integration.workers.conftest import Valkey
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

QUEUES = ["first", "second"]
OPTIONS = {
    "priority_steps": list(STEPS),
    "queue_order_strategy": "priority",
    "queues_with_bells": QUEUES,
    "visibility_timeout": 60,
}

register()


class Node:
    """One consumer, as a worker has one, without an event loop unless ``turn`` plays it."""

    def __init__(
        self, url: str, *, prefetch: int = 10, queues: list[str] | None = None, no_ack: bool = False, **options: Any
    ) -> None:
        self.connection: Any = Connection(url, transport_options=OPTIONS | options)
        self.channel = self.connection.default_channel
        self.transport = self.connection.transport
        self.got: list[Any] = []
        wanted = [Queue(name, Exchange(name), routing_key=name) for name in queues or QUEUES]
        self.consumer = self.connection.Consumer(
            wanted, channel=self.channel, on_message=self.got.append, no_ack=no_ack
        )
        self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()

    def drain(self, seconds: float = 5.0) -> list[str]:
        """Wait for the next answer with messages; every body so far."""
        self.connection.drain_events(timeout=seconds)
        return self.bodies()

    def bodies(self) -> list[str]:
        return [message.payload for message in self.got]

    def send_next(self) -> None:
        """What the event loop does before it waits."""
        self.transport.cycle.on_poll_start()

    def wait_idle(self, client: Any) -> None:
        """Until Redis holds its BRPOP."""
        with pytest.raises(TimeoutError):
            self.connection.drain_events(timeout=0.01)
        until_now(lambda: self._blocked(client), "the node to wait")

    def _blocked(self, client: Any) -> bool:
        self.send_next()
        if self.channel.is_fetching:
            with pytest.raises(TimeoutError):
                self.connection.drain_events(timeout=0.01)
        return int(client.info("clients")["blocked_clients"]) > 0

    def close(self) -> None:
        self.connection.release()


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Any]:
    with redis.Redis.from_url(valkey.url, decode_responses=True, protocol=2) as found:
        yield found


@pytest.fixture
def urls(valkey: Valkey) -> dict[str, str]:
    return {"stock": valkey.url, "ours": of_pointsman(valkey.url)}


@pytest.fixture
def start(urls: dict[str, str]) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def start(kind: str = "ours", **options: Any) -> Node:
        nodes.append(Node(urls[kind], **options))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def publish(urls: dict[str, str]) -> Iterator[Callable[..., None]]:
    with (
        Connection(urls["stock"], transport_options=OPTIONS) as stock,
        Connection(urls["ours"], transport_options=OPTIONS) as ours,
    ):
        connections = {"stock": stock, "ours": ours}

        def publish(body: str, queue: str = "first", step: int = 0, kind: str = "stock") -> None:
            with connections[kind].Producer() as producer:
                declared = Queue(queue, Exchange(queue), routing_key=queue)
                producer.publish(body, exchange=declared.exchange, routing_key=queue, declare=[declared], priority=step)

        yield publish


def unacked(client: Any) -> dict[str, Any]:
    return {tag: json.loads(text) for tag, text in client.hgetall("unacked").items()}


def test_unacknowledged_message_looks_as_kombus(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a", step=3)
    message = client.lindex(list_key("first", 3), 0)
    tag = json.loads(message)["properties"]["delivery_tag"]
    stock = start("stock")
    stock.drain()
    by_kombu, scored = unacked(client)[tag], client.zscore("unacked_index", tag)
    stock.close()
    assert unacked(client) == {}
    assert client.lrange(list_key("first", 3), 0, -1), "kombu gives it back"
    client.delete(list_key("first", 3))
    client.lpush(list_key("first", 3), message)
    ours = start()
    ours.drain()
    assert unacked(client) == {tag: by_kombu}
    assert client.zscore("unacked_index", tag) == pytest.approx(scored, abs=20)


def test_never_more_than_the_prefetch_count_is_fetched(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    for number in range(5):
        publish(str(number))
    node = start(prefetch=2)
    assert node.drain() == ["0", "1"]
    with pytest.raises(TimeoutError):
        node.drain(0.2)
    assert (len(unacked(client)), client.llen("first")) == (2, 3)
    node.got[0].ack()
    assert node.drain() == ["0", "1", "2"]
    assert (len(unacked(client)), client.llen("first")) == (2, 2)


def test_queue_listed_first_is_emptied_first_and_steps_count_within_it(
    start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    for body, queue, step in [("d", "second", 0), ("c", "first", 9), ("b", "first", 2), ("a", "first", 0)]:
        publish(body, queue, step)
    assert start().drain() == ["a", "b", "c", "d"]


def test_empty_priority_and_unicode_survive(client: Any, start: Callable[..., Node]) -> None:
    raw = (
        '{"body":"W10=","content-encoding":"utf-8","content-type":"application/json","headers":{"e":[],"o":{},"u":"ü\\u00fc'
        '"},"properties":{"delivery_tag":"t/1","delivery_info":{"exchange":"","routing_key":"first"},"priority":0,'
        '"body_encoding":"base64"}}'
    )
    client.lpush("first", raw)
    node = start()
    node.drain()
    assert [message.payload for message in node.got] == [[]]
    assert unacked(client) == {"t/1": [json.loads(raw), "", "first"]}
    node.close()
    (again,) = client.lrange("first", 0, -1)
    assert json.loads(again)["headers"] == {"e": [], "o": {}, "u": "üü", "redelivered": True}


@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_idle_node_is_woken_at_once(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], kind: str
) -> None:
    node = start()
    node.wait_idle(client)
    publish("a", kind=kind)
    since = time.monotonic()
    assert node.drain() == ["a"]
    # A node that only looked again after its BRPOP would need up to a second.
    assert time.monotonic() - since < 0.5
    assert len(unacked(client)) == 1


def test_message_is_not_popped_before_it_is_noted(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    """Both idle nodes are woken by bells; neither BRPOPs the message of a publisher that rings."""
    nodes = [start(), start()]
    for node in nodes:
        node.wait_idle(client)
    until_now(lambda: int(client.info("clients")["blocked_clients"]) == 2, "both to wait")
    publish("a", kind="ours")
    assert (client.llen("first"), unacked(client)) == (1, {})
    until_now(lambda: _gather(nodes) == ["a"], "one of them to fetch it")


def test_one_message_does_not_wake_every_idle_node(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    nodes = [start() for _ in range(5)]
    for node in nodes:
        node.wait_idle(client)
    until_now(lambda: int(client.info("clients")["blocked_clients"]) == 5, "all to wait")
    publish("a", kind="ours")
    assert int(client.info("clients")["blocked_clients"]) == 3, "one, and the listener"


def test_messages_left_behind_wake_the_next_node(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    busy, idle = start(prefetch=1), start(prefetch=1)
    idle.wait_idle(client)
    for body in "ab":
        publish(body)
    client.delete(keys.BELL_PREFIX + "first", keys.LISTENER_BELL_PREFIX + "first")
    busy.drain()
    idle.drain()
    assert sorted(busy.bodies() + idle.bodies()) == ["a", "b"]


def test_bells_go_with_the_last_message(client: Any, start: Callable[..., Node], publish: Callable[..., None]) -> None:
    for _ in range(100):
        publish("a", kind="ours")
    assert client.llen(keys.BELL_PREFIX + "first") == 64
    node = start(prefetch=99)
    node.drain()
    assert client.exists(keys.BELL_PREFIX + "first", keys.LISTENER_BELL_PREFIX + "first") == 2
    node.got[0].ack()
    node.drain()
    assert client.exists(keys.BELL_PREFIX + "first", keys.LISTENER_BELL_PREFIX + "first") == 0


def test_answer_lost_on_the_way_gives_its_messages_back(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start()
    node.send_next()
    until_now(lambda: unacked(client), "the fetch to be done")
    node.channel.client.connection.disconnect()
    node.close()
    assert (unacked(client), client.llen("first"), client.zcard("unacked_index")) == ({}, 1, 0)


def test_messages_of_a_fetch_under_way_are_given_back_by_a_closing_node(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start()
    node.send_next()
    until_now(lambda: unacked(client), "the fetch to be done")
    node.close()
    assert (node.got, unacked(client), client.llen("first")) == ([], {}, 1)


def test_what_a_lost_connection_cannot_settle_is_settled_by_the_next(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    for body in "abc":
        publish(body)
    node = start(prefetch=2, socket_timeout=0.1)
    node.drain()
    node.transport.defer_acknowledgements(True)
    node.got[0].ack()
    node.send_next()
    until_now(lambda: client.llen("first") == 0, "the fetch to be done")
    node.channel.client.connection.disconnect()
    client.client_pause(1000, all=True)
    node.close()
    assert len(unacked(client)) == 2, "nothing was given back"
    assert sorted(_gather_all(start(), 2)) == ["b", "c"]
    assert len(unacked(client)) == 2


def test_waiting_node_closes_at_once(client: Any, start: Callable[..., Node]) -> None:
    node = start()
    node.wait_idle(client)
    since = time.monotonic()
    node.close()
    assert time.monotonic() - since < 0.5


def test_message_fetched_for_a_cancelled_consumer_goes_back(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    publish("b", "second")
    node = start()
    node.send_next()
    until_now(lambda: len(unacked(client)) == 2, "the fetch to be done")
    node.consumer.cancel_by_queue("first")
    assert node.drain() == ["b"]
    assert (len(unacked(client)), client.llen("first")) == (1, 1)
    assert len(held_by(node.channel)) == 1


def test_bell_heard_for_a_cancelled_consumer_rings_on(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    node = start()
    node.wait_idle(client)
    node.consumer.cancel_by_queue("first")
    publish("a", kind="ours")
    with pytest.raises(TimeoutError):
        node.drain(0.3)
    assert client.exists(keys.BELL_PREFIX + "first") == 1


def test_deferred_acknowledgement_goes_with_the_next_fetch(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start(prefetch=1)
    node.drain()
    node.transport.defer_acknowledgements(True)
    node.got[0].ack()
    assert len(unacked(client)) == 1
    calls = client.info("commandstats").get("cmdstat_multi", {"calls": 0})["calls"]
    node.send_next()
    until_now(lambda: not unacked(client), "the acknowledgement")
    assert client.zcard("unacked_index") == 0
    assert client.info("commandstats").get("cmdstat_multi", {"calls": 0})["calls"] == calls, "no round trip of its own"


def test_deferred_acknowledgement_is_sent_before_the_next_wait(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start()
    node.drain()
    node.transport.defer_acknowledgements(True)
    node.wait_idle(client)
    node.got[0].ack()
    node.send_next()
    assert unacked(client) == {}


@pytest.mark.parametrize("lost", [False, True])
def test_deferred_acknowledgement_is_sent_when_the_channel_closes(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], lost: bool
) -> None:
    publish("a")
    publish("b")
    node = start()
    node.drain()
    node.transport.defer_acknowledgements(True)
    node.got[0].ack()
    if lost:
        client.client_kill_filter(_type="normal", skipme=True)
    node.close()
    assert unacked(client) == {}
    assert [json.loads(text)["headers"].get("redelivered") for text in client.lrange("first", 0, -1)] == [True]


def test_turning_deferral_off_leaves_nothing_owed(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start()
    node.drain()
    node.transport.defer_acknowledgements(True)
    node.got[0].ack()
    node.transport.defer_acknowledgements(False)
    assert unacked(client) == {}


@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_very_long_message_is_held_as_any_other_and_comes_back(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], kind: str
) -> None:
    body = "x" * 3_000_000
    publish(body, step=3, kind=kind)
    node = start()
    assert node.drain() == [body]
    (tag,) = unacked(client)
    assert tag == node.got[0].delivery_tag
    node.close()
    assert unacked(client) == {}
    again = start("stock")
    assert again.drain() == [body]
    again.got[0].ack()
    assert unacked(client) == {}


def test_very_long_message_of_the_control_plane_is_held_by_its_delivery_tag(
    client: Any, start: Callable[..., Node]
) -> None:
    arguments = json.dumps(["x" * 3_000_000])
    envelope = Envelope("id", "noop", "first", 10, arguments, "{}", 60.0, 2, 1, 4, None, None)
    client.lpush("first", "7".join(encode(envelope, epoch=1)))
    node = start()
    node.connection.drain_events(timeout=5)
    assert list(unacked(client)) == ["id.2"]
    node.got[0].ack()
    assert unacked(client) == {}


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "7", '{"properties":null}', '{"properties":{"delivery_tag":7}}', "\u0000" * 100_000]
)
def test_garbage_is_set_aside_and_logged(
    client: Any,
    start: Callable[..., Node],
    publish: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    text: str,
    idle: bool,
) -> None:
    node = start()
    if idle:
        node.wait_idle(client)
    client.lpush("first", text)
    publish("a")
    until_now(lambda: _gather([node]) == ["a"], "the message behind it")
    assert f"{len(text)} bytes on queue first are set aside" in caplog.text
    node.got[0].ack()
    assert (unacked(client), client.llen("first")) == ({}, 0)
    ((_, kept),) = client.xrange(keys.SET_ASIDE)
    assert (kept["queue"], kept["bytes"]) == ("first", str(len(text)))
    assert kept["head"] + kept["tail"] == (text if len(text) <= 4096 else text[:2048] + text[-2048:])
    assert client.hgetall(keys.SET_ASIDE_COUNTS) == {"total:first": "1", "open:first": "1"}


def test_message_with_a_broken_body_is_set_aside_and_acknowledged(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    publish("a")
    publish("b")
    message = json.loads(client.rpop("first"))
    client.rpush("first", json.dumps(message | {"body": "a"}))
    node = start()
    assert node.drain() == ["b"]
    assert len(unacked(client)) == 1
    assert "are set aside" in caplog.text
    assert client.xlen(keys.SET_ASIDE) == 1


@pytest.mark.parametrize(
    "entry",
    ["{", "[1]", "[1,2,3,4]", '["x","","first"]', '[{"properties":{}},"","first"]', "[" * 5000,
     '[{"headers":[1],"properties":{"delivery_tag":"t","delivery_info":{"exchange":"","routing_key":"first"}}},"","first"]'],
)  # fmt: skip
def test_what_cannot_be_given_back_after_the_visibility_timeout_is_set_aside(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], entry: str
) -> None:
    client.hset("unacked", "t", entry)
    client.zadd("unacked_index", {"t": 1})
    node = start()
    node.channel.qos.restore_visible(interval=1)
    assert (unacked(client), client.zcard("unacked_index"), client.xlen(keys.SET_ASIDE)) == ({}, 0, 1)
    publish("a")
    assert node.drain() == ["a"]


def test_message_without_headers_is_given_back(client: Any, start: Callable[..., Node]) -> None:
    message = {
        "body": "W10=",
        "content-type": "application/json",
        "headers": None,
        "properties": {
            "delivery_tag": "t",
            "delivery_info": {"exchange": "", "routing_key": "first"},
            "body_encoding": "base64",
        },
    }
    client.lpush("first", json.dumps(message))
    node = start()
    node.drain()
    node.close()
    (again,) = client.lrange("first", 0, -1)
    assert json.loads(again)["body"] == "W10="


@pytest.mark.parametrize("routing", [("", "nowhere"), ("nobody", "first"), ("nobody", "nowhere")])
def test_message_goes_back_to_the_queue_it_came_from_whatever_it_says(
    client: Any, start: Callable[..., Node], publish: Callable[..., None], routing: tuple[str, str]
) -> None:
    publish("a")
    message = json.loads(client.rpop("first"))
    message["properties"]["delivery_info"] = dict(zip(("exchange", "routing_key"), routing, strict=True))
    client.lpush("first", json.dumps(message))
    node = start()
    node.drain()
    node.close()
    assert (client.llen("first"), unacked(client)) == (1, {})


def test_what_is_no_message_is_set_aside_when_it_would_be_given_back(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    """The connection is lost before the node looked at it."""
    publish("a")
    message = json.loads(client.rpop("first"))
    client.lpush("first", json.dumps(message | {"body": 5}))
    node = start()
    node.send_next()
    until_now(lambda: unacked(client), "the fetch to be done")
    node.channel.client.connection.disconnect()
    node.close()
    assert (client.llen("first"), client.xlen(keys.SET_ASIDE)) == (0, 1)
    assert unacked(client) == {}


def test_queue_without_a_bell_is_consumed_as_by_kombu(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    node = start(queues=["other"])
    node.wait_idle(client)
    publish("a", "other", kind="ours")
    assert node.drain() == ["a"]
    assert client.keys("pointsman:bell:*") == []


def test_consumer_without_acknowledgements_leaves_nothing_behind(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    node = start(no_ack=True)
    publish("a")
    assert node.drain() == ["a"]
    assert unacked(client) == {}


def test_message_of_a_node_that_vanished_is_restored_by_either(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    for kind in ("stock", "ours"):
        publish(kind)
        gone = start()
        gone.drain()
        (tag,) = held_by(gone.channel)
        client.zadd("unacked_index", {tag: time.time() - 100})
        other = start(kind)
        other.channel.qos.restore_visible(interval=1)
        assert other.drain() == [kind]
        other.got[0].ack()
        gone.channel.qos._delivered.clear()
        gone.close()
        other.close()
        assert (unacked(client), client.llen("first")) == ({}, 0)


def test_messages_are_fetched_while_memory_is_full(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    publish("a")
    node = start()
    client.config_set("maxmemory", 1)
    try:
        assert node.drain() == ["a"]
        node.got[0].ack()
        with pytest.raises(TimeoutError):
            node.drain(1.5)
    finally:
        client.config_set("maxmemory", 0)
    assert unacked(client) == {}


def test_script_is_loaded_again_after_a_restart(
    client: Any, start: Callable[..., Node], publish: Callable[..., None]
) -> None:
    node = start()
    node.wait_idle(client)
    client.script_flush()
    publish("a", kind="ours")
    assert node.drain() == ["a"]


def test_control_plane_rings_for_what_it_publishes(own_plane: ControlPlane, client: Any) -> None:
    own_plane.declare(1)
    for _ in range(3):
        own_plane.publish("noop", queue="maintenance", priority=3)
    assert client.llen(keys.BELL_PREFIX + "maintenance") == 3
    assert client.llen(keys.LISTENER_BELL_PREFIX + "maintenance") == 1


def _gather_all(node: Node, count: int) -> list[str]:
    until_now(lambda: len(_gather([node])) == count, "the messages")
    return node.bodies()


def _gather(nodes: list[Node]) -> list[str]:
    for node in nodes:
        try:
            node.connection.drain_events(timeout=0.05)
        except TimeoutError:
            continue
    return [body for node in nodes for body in node.bodies()]
