"""A real Mosquitto, and a client that listens to it."""

import json
import queue
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from pointsman_service.embedded.children import ChildSpec, kill_group, spawn
from pointsman_service.embedded.ports import free_port
from tests import needs
from tests.peers.certificates import Certificate
from tests.stand.waiting import until_now

_ANSWER_SECONDS = 10.0


@dataclass
class Mosquitto:
    """A broker on 127.0.0.1 while its context is open."""

    directory: Path
    settings: tuple[str, ...] = ("allow_anonymous true",)
    """Further lines of its configuration."""
    certificate: Certificate | None = None
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        program = needs.program("mosquitto")
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "log_dest stderr", *self.settings]
        if self.certificate is not None:
            lines += [f"certfile {self.certificate.chain}", f"keyfile {self.certificate.key}"]
        # As root it would become another user, who cannot read the test's files.
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text("\n".join([*lines, "user root", ""]))
        self._log = self.directory / "mosquitto.log"
        with self._log.open("ab") as log:
            self._process = spawn(ChildSpec("mosquitto", (str(program), "-c", str(configuration))), log)
        until_now(self._answers, lambda: f"mosquitto to listen: {self._log.read_text()}")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return "mosquitto version" in self._log.read_text() and "running" in self._log.read_text()

    def kill(self) -> None:
        """SIGKILL."""
        kill_group(self._process)
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def password_file(self, user: str, password: str) -> Path:
        """A file with one user, made by Mosquitto's own tool."""
        path = self.directory / "passwords"
        words = [str(needs.program("mosquitto_passwd", "mosquitto")), "-b", "-c", str(path), user, password]
        subprocess.run(words, check=True, capture_output=True)
        return path


class Listener:
    """Everything published below ``#`` while its context is open."""

    def __init__(self, broker: Mosquitto, user: str | None = None, password: str | None = None) -> None:
        self._messages: queue.Queue[MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._broker = broker
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        if broker.certificate is not None:
            self._client.tls_set_context(ssl.create_default_context(cafile=broker.certificate.authority))
        self._client.on_message = lambda _client, _data, message: self._messages.put(message)
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)

    def __enter__(self) -> Self:
        self._client.connect("localhost" if self._broker.certificate else "127.0.0.1", self._broker.port)
        self._client.loop_start()
        self._client.subscribe("#", qos=1)
        self._subscribed.get(timeout=_ANSWER_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def next(self) -> tuple[str, int, Any]:
        """Topic, QoS and JSON of the next message."""
        message = self._messages.get(timeout=_ANSWER_SECONDS)
        return message.topic, message.qos, json.loads(message.payload)

    def is_quiet(self) -> bool:
        """Whether nothing more has come."""
        return self._messages.empty()
