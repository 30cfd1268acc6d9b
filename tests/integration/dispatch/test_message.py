"""Every field we write against what the installed Celery and kombu produce."""

import base64
import json
from typing import Any

import pytest
from celery import Celery
from kombu.transport.redis import Channel

from pointsman_contract.message import HEADER, managed_header
from pointsman_contract.queues import list_key
from pointsman_service.broker import BrokerShut
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.submit.writer import envelope_of
from tests.integration.spine import Spine, new_task


@pytest.fixture
def from_celery(redis_url: str) -> dict[str, Any]:
    """The message of an equal task sent by Celery itself."""
    app = Celery("peer", broker=redis_url)
    app.conf.update(
        task_serializer="json",
        broker_transport_options={"priority_steps": list(range(10)), "queue_order_strategy": "priority"},
    )
    with app.connection_for_write() as connection:
        app.send_task(
            "noop",
            (1, "é"),
            {"a": None},
            queue="maintenance",
            priority=7,
            time_limit=300,
            ignore_result=True,
            connection=connection,
        )
        channel: Any = connection.default_channel
        raw = channel.client.rpop(list_key("maintenance", 7))
    app.close()
    found: dict[str, Any] = json.loads(raw)
    return found


async def ours(spine: Spine, **changes: Any) -> dict[str, Any]:
    task = new_task(args='[1,"é"]', kwargs='{"a":null}', **changes)
    await spine.broker.publish([envelope_of(task)], 1)
    message = await spine.message(list_key("maintenance", 7))
    assert message is not None
    return message


async def test_a_message_has_the_fields_and_values_that_celery_writes(
    spine: Spine, from_celery: dict[str, Any]
) -> None:
    message = await ours(spine)
    assert message.keys() == from_celery.keys()
    # Celery writes no stamps for a task without them.
    assert message["headers"].keys() - from_celery["headers"].keys() == {HEADER}
    assert from_celery["headers"].keys() <= message["headers"].keys()
    # What the arguments look like does not leave the service.
    own = {"id", "root_id", "origin", HEADER, "argsrepr", "kwargsrepr"}
    for name in message["headers"].keys() - own:
        assert message["headers"][name] == from_celery["headers"][name], name
    assert message["properties"].keys() == from_celery["properties"].keys()
    for name in message["properties"].keys() - {"correlation_id", "reply_to", "delivery_tag"}:
        assert message["properties"][name] == from_celery["properties"][name], name
    for name in ("content-encoding", "content-type"):
        assert message[name] == from_celery[name]
    assert _body(message) == _body(from_celery)


def _body(message: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(message["body"]))


async def test_tools_that_watch_are_told_of_the_retries_and_that_arguments_are_hidden(spine: Spine) -> None:
    envelope = envelope_of(new_task(args='["a secret"]'))
    await spine.broker.publish([envelope, envelope._replace(dispatch=2, after=3, interruptions=1)], 1)
    first, third = [await spine.message(list_key("maintenance", 7)) for _ in range(2)]
    assert first is not None
    assert third is not None
    assert (first["headers"]["retries"], third["headers"]["retries"]) == (0, 2), "an interruption is none"
    assert {first["headers"][name] for name in ("argsrepr", "kwargsrepr")} == {"(hidden)"}


async def test_ids_are_the_tasks_and_each_sending_has_its_own_tag(spine: Spine) -> None:
    task = new_task()
    envelope = envelope_of(task)
    await spine.broker.publish([envelope, envelope._replace(dispatch=2)], 1)
    first, second = [await spine.message(list_key("maintenance", 7)) for _ in range(2)]
    assert first is not None
    assert second is not None
    assert {first["headers"]["id"], first["headers"]["root_id"], first["properties"]["correlation_id"]} == {task.id}
    assert first["properties"]["delivery_tag"] == f"{task.id}.1"
    assert second["properties"]["delivery_tag"] == f"{task.id}.2"


async def test_the_managed_header_says_where_the_message_stands(spine: Spine) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    message = await ours(spine, traceparent=traceparent)
    header = managed_header(message["headers"])
    assert header is not None
    sent_at = header.pop("sent_at")  # type: ignore[misc]  # compared apart
    assert sent_at > 1_700_000_000
    assert header == {
        "version": 1,
        "epoch": 1,
        "dispatch": 1,
        "after": 0,
        "max_attempts": 1,
        "expires_at": None,
        "traceparent": traceparent,
        "sequence": 1,
    }


async def test_interruptions_lengthen_the_budget_that_a_worker_is_told(spine: Spine) -> None:
    envelope = envelope_of(new_task(max_attempts=4))._replace(after=2, interruptions=2)
    await spine.broker.publish([envelope], 1)
    message = await spine.message(list_key("maintenance", 7))
    assert message is not None
    header = message["headers"][HEADER]
    assert (header["max_attempts"], header["interruptions"]) == (6, 2)


@pytest.mark.parametrize("step", range(10))
def test_lists_are_the_ones_kombu_reads(step: int) -> None:
    channel: Any = object.__new__(Channel)
    channel.priority_steps = list(range(10))
    assert channel._q_for_pri("email", step) == list_key("email", step)


async def test_names_with_quotes_and_backslashes_stay_json(spine: Spine) -> None:
    message = await ours(spine, task_type='odd "name" \\ é')
    assert message["headers"]["task"] == 'odd "name" \\ é'


async def test_a_shut_broker_takes_nothing_and_says_so(closed_spine: Spine) -> None:
    envelope = envelope_of(new_task())
    with pytest.raises(BrokerShut, match="epoch"):
        await closed_spine.broker.publish([envelope], 1)
    assert await Publisher(closed_spine.broker).publish([envelope], 1) is False
