import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.shipped.mqtt import BrokerAway, BrokerNotConfigured, BrokerRefused
from pointsman.shipped.tasks.mqtt import PAYLOAD_BYTES, MessageNotValid, process_mqtt_message
from pointsman_service.embedded.ports import free_port
from tests.integration.tasks.conftest import TASK_ID, Configure, assert_refused, run
from tests.peers.certificates import Certificate
from tests.peers.mqtt import Listener, Mosquitto

READING = {"id": "r-1", "celsius": 21.5}


def process(topic: str = "home/kitchen", payload: Any = READING, **more: Any) -> Any:
    return run(process_mqtt_message, topic=topic, payload=payload, **more)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture
def listener(broker: Mosquitto, configure: Configure) -> Iterator[Listener]:
    configure(mqtt_host="127.0.0.1", mqtt_port=broker.port, mqtt_tls="false")
    with Listener(broker) as opened:
        yield opened


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_acknowledgement_is_published_and_taken_by_the_broker(
    listener: Listener, configure: Configure, version: str
) -> None:
    configure(mqtt_version=version)
    result = process()
    topic, qos, acknowledgement = listener.next()
    assert (topic, qos) == ("home/kitchen/ack", 1)
    assert result["ack_topic"] == topic
    assert (acknowledgement["task_id"], acknowledgement["topic"]) == (TASK_ID, "home/kitchen")
    assert (acknowledgement["status"], acknowledgement["message_id"]) == ("accepted", "r-1")
    assert result["broker_said"] == "Success"
    for name in ("message_id", "payload_bytes", "payload_sha256", "acknowledged_at"):
        assert result[name] == acknowledgement[name]


def test_text_payload_goes_to_the_topic_that_was_asked_for(listener: Listener) -> None:
    process(payload="größe", ack_topic="answers/1")
    topic, _, acknowledgement = listener.next()
    assert topic == "answers/1"
    assert acknowledgement["message_id"] is None
    assert acknowledgement["payload_bytes"] == len("größe".encode())
    assert acknowledgement["payload_sha256"] == hashlib.sha256("größe".encode()).hexdigest()


def test_broker_says_that_nobody_listens(broker: Mosquitto, configure: Configure) -> None:
    configure(mqtt_host="127.0.0.1", mqtt_port=broker.port, mqtt_tls="false")
    assert process()["broker_said"] == "No matching subscribers"


def test_payload_over_the_limit_fails_for_good(listener: Listener) -> None:
    with pytest.raises(MessageNotValid, match=str(PAYLOAD_BYTES)):
        process(payload="ü" * PAYLOAD_BYTES)
    assert listener.is_quiet()


def test_topic_of_too_many_bytes_fails_for_good(listener: Listener) -> None:
    with pytest.raises(MessageNotValid):
        process(topic="x" * 65535)
    assert listener.is_quiet()


def test_broker_that_is_away_fails_for_now(configure: Configure) -> None:
    configure(mqtt_host="127.0.0.1", mqtt_port=free_port(), mqtt_tls="false")
    with pytest.raises(ConnectionRefusedError):
        process()


def test_broker_that_does_not_answer_fails_for_now(silent_port: int, configure: Configure) -> None:
    configure(mqtt_host="127.0.0.1", mqtt_port=silent_port, mqtt_tls="false", mqtt_timeout_seconds=0.3)
    with pytest.raises(BrokerAway, match=r"within 0\.3 s"):
        process()


def test_unset_broker_says_what_to_set(configure: Configure) -> None:
    with pytest.raises(BrokerNotConfigured, match="POINTSMAN_MQTT_HOST"):
        process()


@pytest.fixture
def secured(tmp_path: Path, configure: Configure) -> Iterator[Mosquitto]:
    """Speaks TLS as ``localhost``, and lets one user publish below ``home`` only."""
    certificate = Certificate.make(tmp_path / "certificate", "localhost")
    server = Mosquitto(tmp_path, certificate=certificate)
    passwords = server.password_file("reader", "right")
    rights = tmp_path / "rights"
    rights.write_text("user reader\ntopic readwrite home/#\n")
    server.settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}")
    configure(
        mqtt_host="localhost",
        mqtt_port=server.port,
        mqtt_ca_file=certificate.authority,
        mqtt_user="reader",
        mqtt_password="right",
    )
    with server:
        yield server


def test_message_is_published_encrypted_after_login(secured: Mosquitto) -> None:
    with Listener(secured, "reader", "right") as listener:
        process()
        assert listener.next()[0] == "home/kitchen/ack"


def test_wrong_password_fails_for_good_and_is_not_shown(secured: Mosquitto, configure: Configure) -> None:
    configure(mqtt_password="wrong-password")
    with pytest.raises(BrokerRefused, match="Not authorized") as caught:
        process()
    assert "wrong-password" not in str(caught.value)


def test_topic_without_the_right_to_it_fails_for_good(secured: Mosquitto) -> None:
    with pytest.raises(BrokerRefused, match="Not authorized"):
        process(topic="office/desk")


def test_certificate_of_another_host_is_not_trusted(secured: Mosquitto, configure: Configure) -> None:
    configure(mqtt_host="127.0.0.1")
    with pytest.raises(OSError, match="certificate verify failed"):
        process()


BAD: list[dict[str, Any]] = [
    {"topic": ""},
    {"topic": "home/+/x"},
    {"topic": "home/#"},
    {"topic": "$SYS/broker"},
    {"topic": "a\x00b"},
    {"topic": "a\nb"},
    {"topic": "x" * 65536},
    {"ack_topic": "home/#"},
    {"payload": [1]},
    {"payload": 7},
    {"payload": None},
    {"qos": 2},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:40])
def test_bad_argument_is_refused(bad: dict[str, Any], configure: Configure) -> None:
    assert_refused(process_mqtt_message, **({"topic": "größe/π", "payload": {}} | bad))
