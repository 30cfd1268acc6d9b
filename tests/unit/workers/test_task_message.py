"""Whatever Celery and the control plane write is a message; what would end a node is none."""

import base64
import json
import lzma
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import StampingVisitor  # type: ignore[attr-defined]  # celery-types does not know it
from kombu import compression
from kombu.compression import compress, encoders
from kombu.transport.virtual.base import Base64, Message

from pointsman.parent.task_message import check
from pointsman.transport.envelope import DEEPEST, NotAMessage, opened
from pointsman.transport.inflated import MOST_INFLATED_BYTES
from pointsman_contract.message import HEADER, header_fault
from pointsman_service.broker import Envelope, encode


class OurChannel:
    """What a message needs of its channel."""

    checks_envelopes = True

    def decode_body(self, body: str, encoding: str | None = None) -> Any:
        return Base64().decode(body) if encoding else body


def received(item: bytes) -> Message:
    """The message as a node has it; raises what a node would meet."""
    message: Any = Message(opened(item), channel=OurChannel())
    message.accept = {"application/json"}
    if message.errors:
        message._reraise_error()
    check(message)
    return message


@pytest.fixture
def app() -> Celery:
    found = Celery("author", broker="memory://", backend="cache+memory://")

    @found.task(name="add", shared=False)
    def add(*numbers: int, **more: object) -> int:
        return sum(numbers) + len(more)

    return found


def written(app: Celery) -> list[bytes]:
    """What the application has put on its queue since the last time, as Redis would keep it."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        found = []
        while channel._size("celery"):
            found.append(json.dumps(channel._get("celery")).encode())
    return found


class Tenant(StampingVisitor):  # type: ignore[misc]  # untyped
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"tenant": 42, "stamped_headers": ["tenant"]}


CALLS: dict[str, Callable[[Any], object]] = {
    "delay": lambda add: add.delay(1, 2),
    "keywords": lambda add: add.apply_async(kwargs={"a": {"b": [None, 1.5, "é"]}}),
    "countdown": lambda add: add.apply_async((1,), countdown=60, expires=120),
    "eta": lambda add: add.apply_async((1,), eta=datetime.now(UTC) + timedelta(days=30), expires=datetime.now(UTC)),
    "limits": lambda add: add.apply_async((1,), time_limit=2.5, soft_time_limit=1, priority=3, shadow="other name"),
    "callbacks": lambda add: add.apply_async((1,), link=add.s(2), link_error=[add.si(3), add.si(4)]),
    "chain": lambda add: chain(add.s(1), add.s(2), group(add.s(3), add.s(4)), add.si(5)).delay(),
    "group": lambda add: group(add.s(number) for number in range(3)).delay(),
    "chord": lambda add: chord([add.s(1), chain(add.s(2), add.s(3))])(add.s()),
    "stamps": lambda add: _stamped(add.s(1)),
    "headers": lambda add: add.apply_async((1,), headers={"tenant": {"id": 7}}, task_id="my own id/1"),
    "compression": lambda add: add.apply_async((list(range(1000)),), compression="zlib"),
    "types": lambda add: add.apply_async((datetime.now(UTC), uuid4(), b"x")),
    "ignored": lambda add: add.apply_async((1,), ignore_result=True, retries=3, reply_to="somebody"),
}


def _stamped(signature: Any) -> None:
    signature.stamp(visitor=Tenant())
    signature.delay()


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_whatever_celery_writes_is_a_message(app: Celery, call: str, protocol: int) -> None:
    app.conf.task_protocol = protocol
    CALLS[call](app.tasks["add"])
    found = written(app)
    assert found
    for item in found:
        message: Any = received(item)
        assert message.payload == message.decode()
        assert message.payload == message._decode()


def ours(**changes: Any) -> bytes:
    """A message of the control plane, with other values in its header."""
    envelope = Envelope(
        str(uuid4()), "noop", "email", 7, "[1]", '{"a":2}', 60.0, 2, 1, 4, 1.5e9, "00-1-1-01", 1, ("smtp",)
    )
    head, end = encode(envelope, epoch=3)
    message = json.loads(f'{head}12,"sent_at":1800000000.123456{end}')
    message["headers"][HEADER] |= changes
    return json.dumps(message).encode()


def test_message_of_the_control_plane_is_one() -> None:
    message = received(ours())
    assert message.payload[:2] == [[1], {"a": 2}]


def test_header_of_another_version_is_read_no_further_than_that() -> None:
    received(ours(version=99, after="?"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", None), ("version", True), ("version", "1"), ("epoch", "3"), ("epoch", -1), ("dispatch", 2**32),
        ("dispatch", [1]), ("after", 1.0), ("after", None), ("after", 2**31), ("max_attempts", "4"),
        ("interruptions", {}), ("sent_at", "now"), ("sent_at", float("nan")), ("sent_at", None), ("expires_at", False),
        ("expires_at", 10**400), ("expires_at", float("inf")), ("traceparent", 5), ("dependencies", "smtp"),
        ("dependencies", [5]), ("dependencies", ["a\nb"]), ("sequence", None),
    ],
)  # fmt: skip
def test_managed_header_that_scripts_cannot_read_is_none(field: str, value: object) -> None:
    with pytest.raises(NotAMessage, match="pointsman"):
        received(ours(**{field: value}))


@pytest.mark.parametrize(
    "field", ["version", "epoch", "dispatch", "after", "expires_at", "traceparent", "sequence", "sent_at"]
)
def test_managed_header_without_one_of_its_fields_is_none(field: str) -> None:
    message = json.loads(ours())
    del message["headers"][HEADER][field]
    with pytest.raises(NotAMessage, match="pointsman"):
        received(json.dumps(message).encode())


@pytest.mark.parametrize("header", [None, 5, "yes", [], {}])
def test_managed_header_that_is_no_object_is_none(header: object) -> None:
    message = json.loads(ours())
    message["headers"][HEADER] = header
    with pytest.raises(NotAMessage, match="pointsman"):
        received(json.dumps(message).encode())


@pytest.mark.parametrize("task_id", [None, 5, ["a"], "", "my own id", "6B0BDC9B-0F52-4F3C-8D8F-0E7C7A9A4C11"])
def test_managed_message_has_the_id_of_a_task(task_id: object) -> None:
    assert header_fault({"version": 1}, task_id) is not None


def test_managed_message_that_would_wait_in_the_worker_is_none() -> None:
    message = json.loads(ours())
    message["headers"]["eta"] = datetime.now(UTC).isoformat()
    with pytest.raises(NotAMessage, match="time to wait for"):
        received(json.dumps(message).encode())


def native(app: Celery) -> dict[str, Any]:
    app.tasks["add"].delay(1)
    (item,) = written(app)
    return json.loads(item)  # type: ignore[no-any-return]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def encoded(body: str) -> str:
    return str(Base64().encode(body))


@pytest.mark.parametrize(
    "body",
    ["null", "5", "", "NaN", "{}", "[]", "[[],{}]", "[[],[],{}]", "[{},{},{}]", "[[],{},[]]", "[[],{},{},{}]", '"args"',
     '[[],{},{"chord":[1]}]', '[[],{},{"callbacks":["noop"]}]', '[[],{},{"chain":{}}]', '[[],{},{"id":"x"}]',
     json.dumps([[nested(DEEPEST)], {}, None]), "[" * 800 + "]" * 800, "[" * 5000, "1" * 5000],
)  # fmt: skip
def test_body_of_another_shape_is_none(app: Celery, body: str) -> None:
    message = native(app)
    with pytest.raises(NotAMessage):
        received(json.dumps(message | {"body": encoded(body)}).encode())


def test_deep_arguments_are_arguments(app: Celery) -> None:
    message = native(app)
    body = json.dumps([[nested(DEEPEST - 10)], {}, None])
    received(json.dumps(message | {"body": encoded(body)}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timelimit", 5), ("timelimit", [1]), ("timelimit", {"a": 1}), ("timelimit", ["x", "y"]),
        ("timelimit", [1e300, 1]),
        ("timelimit", [float("nan"), None]), ("timelimit", [True, None]), ("timelimit", [-1, None]),
        ("eta", "9999-01-01T00:00:00"), ("eta", "soon"), ("eta", ""), ("eta", 5), ("eta", "0001-01-01T00:00:00"),
        ("expires", "0001-01-01T00:00:00+23:59"), ("expires", [1]), ("id", ["x"]), ("id", None), ("id", "a\nb"),
        ("id", "\ud800"), ("task", {"a": 1}), ("task", ""), ("shadow", ["x"]), ("stamped_headers", 5),
        ("stamped_headers", [5]), ("stamps", [1]), ("retries", "1"), ("retries", -1), ("group", 5), ("root_id", [1]),
        ("ignore_result", "no"), ("compression", "rot13"), ("compression", ["zlib"]), ("get", 1), ("_protected", 1),
        ("called_directly", False), ("headers", [1]), ("deep", nested(900)),
    ],
)  # fmt: skip
def test_header_that_celery_cannot_use_is_none(app: Celery, field: str, value: object) -> None:
    message = native(app)
    message["headers"][field] = value
    with pytest.raises(NotAMessage):
        received(json.dumps(message).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("content-type",), ["application/json"]), (("content-type",), {}), (("content-encoding",), 5), (("body",), {}),
        (("headers",), [1]), (("headers",), None), (("properties",), None), (("properties", "priority"), [1]),
        (("properties", "priority"), "high"), (("properties", "delivery_tag"), 7),
        (("properties", "delivery_tag"), ""), (("properties", "delivery_tag"), "x" * 301),
        (("properties", "delivery_info"), None), (("properties", "delivery_info", "routing_key"), ["x"]),
        (("properties", "body_encoding"), "rot13"), (("properties", "body_encoding"), ["base64"]),
        (("properties", "reply_to"), 5), (("properties", "correlation_id"), {}),
        (("content-type",), "application/x-python-serialize"),
    ],
)  # fmt: skip
def test_envelope_that_kombu_cannot_use_is_none(app: Celery, path: tuple[str, ...], value: object) -> None:
    message = native(app)
    part = message
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(NotAMessage):
        received(json.dumps(message).encode())


def compressed(app: Celery, packed: bytes, method: str) -> bytes:
    message = native(app)
    message["headers"]["compression"] = method
    return json.dumps(message | {"body": base64.b64encode(packed).decode()}).encode()


@pytest.mark.parametrize("method", encoders())
def test_compressed_body_is_what_it_was(app: Celery, method: str) -> None:
    app.tasks["add"].apply_async((list(range(100_000)),), compression=method)
    (item,) = written(app)
    assert json.loads(item)["headers"]["compression"] == method
    assert received(item).payload[0] == [list(range(100_000))]


@pytest.mark.parametrize("method", encoders())
def test_body_that_inflates_without_end_is_none_and_never_held(app: Celery, method: str) -> None:
    packed, _ = compress(b" " * (MOST_INFLATED_BYTES + 1), method)
    item = compressed(app, packed, method)
    tracemalloc.start()
    try:
        with pytest.raises(NotAMessage, match="longer than 32 MiB when it is inflated"):
            received(item)
        assert tracemalloc.get_traced_memory()[1] < MOST_INFLATED_BYTES / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", encoders())
@pytest.mark.parametrize("spoil", ["cut", "twice", "other"])
def test_compressed_body_that_is_no_single_one_is_none(app: Celery, method: str, spoil: str) -> None:
    packed, _ = compress(b"[[1], {}, null]" * 100, method)
    ways = {"cut": packed[:-5], "twice": packed + packed, "other": b"[[1], {}, null]"}
    with pytest.raises(NotAMessage, match="cannot be inflated"):
        received(compressed(app, ways[spoil], method))


def test_body_that_asks_for_a_dictionary_of_gigabytes_is_none(app: Celery) -> None:
    packed = bytearray(lzma.compress(b"[[1], {}, null]", lzma.FORMAT_ALONE))
    packed[1:5] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(NotAMessage, match="LZMAError"):
        received(compressed(app, bytes(packed), "lzma"))


def test_compression_of_ones_own_is_ones_own_business(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    kombus: Any = compression
    monkeypatch.setitem(kombus._encoders, "x-turned", lambda body: body[::-1])
    monkeypatch.setitem(kombus._decoders, "x-turned", lambda body: body[::-1])
    app.tasks["add"].apply_async((1, 2), compression="x-turned")
    (item,) = written(app)
    assert received(item).payload[0] == [1, 2]
