"""One message to an MQTT broker, until the broker has taken it."""

import ssl
import threading
from typing import Any, Never
from uuid import uuid4

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pointsman.errors import PermanentError, RefusedByDependency, WorkerError
from pointsman.settings import Settings

_FAILURE = 0x80
_NEVER_BETTER = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9B})
"""Protocol, client id, password, right, ban, login method, topic, size, payload format, QoS (MQTT 5, 2.4)."""


class BrokerNotConfigured(PermanentError):
    """No MQTT broker is set."""


class BrokerRefused(RefusedByDependency):
    """The broker refused the connection or the message, and would again."""


class BrokerAway(WorkerError):
    """The broker refused for now, hung up, or did not answer in time."""


def publish(ours: Settings, topic: str, payload: bytes) -> str:
    """Publish at QoS 1 and return what the broker said when it took the message, in a word or two.

    Raises ``BrokerNotConfigured`` and ``BrokerRefused``, which are permanent, ``BrokerAway`` and ``OSError``. After one
    of the latter the broker may have the message all the same.
    """
    if ours.mqtt_host is None:
        raise BrokerNotConfigured("set POINTSMAN_MQTT_HOST for the workers")
    delivery = _Delivery(ours, topic, payload)
    try:
        delivery.client.connect(ours.mqtt_host, ours.mqtt_port or (8883 if ours.mqtt_tls else 1883))
        delivery.client.loop_start()
        if not delivery.ended.wait(ours.mqtt_timeout_seconds):
            raise BrokerAway(f"{ours.mqtt_host} did not take the message within {ours.mqtt_timeout_seconds:g} s")
    finally:
        # The first closes the connection, which the second does not.
        delivery.client.disconnect()
        delivery.client.loop_stop()
    if delivery.taken is None:
        delivery.fail(ours.mqtt_host)
    return delivery.taken


class _Socket(ssl.SSLSocket):
    """Closed when its handshake fails: paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class _Delivery:
    """What the callbacks saw. They run in the client's own thread."""

    def __init__(self, ours: Settings, topic: str, payload: bytes) -> None:
        self.ended = threading.Event()
        self.taken: str | None = None
        self._refusal: tuple[str, ReasonCode] | None = None
        self._message = (topic, payload)
        is_5 = ours.mqtt_version == "5"
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"pointsman-{uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
        )
        self.client.connect_timeout = ours.mqtt_timeout_seconds
        if ours.mqtt_user is not None:
            password = None if ours.mqtt_password is None else ours.mqtt_password.get_secret_value()
            self.client.username_pw_set(ours.mqtt_user, password)
        if ours.mqtt_tls:
            context = ssl.create_default_context(cafile=ours.mqtt_ca_file)
            context.sslsocket_class = _Socket
            self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_disconnect = self._on_disconnect

    def fail(self, host: str) -> Never:
        """Raise what the broker said."""
        if self._refusal is None:
            raise BrokerAway(f"{host} hung up")
        where, code = self._refusal
        kind = BrokerRefused if code.value in _NEVER_BETTER else BrokerAway
        raise kind(f"{host} refused the {where}: {code}")

    def _end(self, refusal: tuple[str, ReasonCode] | None = None) -> None:
        if not self.ended.is_set():
            self._refusal = refusal
            self.ended.set()

    def _on_connect(self, client: Client, _: Any, __: ConnectFlags, code: ReasonCode, ___: Properties | None) -> None:
        if code.value >= _FAILURE:
            self._end(("connection", code))
            return
        topic, payload = self._message
        client.publish(topic, payload, qos=1)

    def _on_publish(self, _: Client, __: Any, ___: int, code: ReasonCode, ____: Properties) -> None:
        if code.value < _FAILURE:
            self.taken = str(code)
            self._end()
        else:
            self._end(("message", code))

    def _on_disconnect(
        self, _: Client, __: Any, ___: DisconnectFlags, code: ReasonCode, ____: Properties | None
    ) -> None:
        self._end(("connection", code) if code.value >= _FAILURE else None)
