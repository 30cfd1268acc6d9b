"""Messages that came in over MQTT."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

from pydantic import Field

from pointsman.app import app
from pointsman.bases import ExternalAPITask
from pointsman.errors import PermanentError
from pointsman.settings import settings
from pointsman.shipped import mqtt

PAYLOAD_BYTES = 128 * 1024
"""Longest payload."""
_TOPIC_BYTES = 65535
_TOPIC = r"^[^$+#\x00-\x1f\x7f][^+#\x00-\x1f\x7f]*$"

Topic = Annotated[str, Field(pattern=_TOPIC, max_length=_TOPIC_BYTES)]
"""A topic one can publish to: no wildcards, no control characters, not one of the broker's own (``$…``)."""


class MessageNotValid(PermanentError):
    """The topic or the payload is longer than MQTT or this task type allows."""


class Figures(TypedDict):
    """What the acknowledgement says of the message, beside ``task_id``, ``topic`` and ``status``."""

    message_id: str | int | None
    """The payload's own ``id``, when it is an object that has one."""
    payload_bytes: int
    payload_sha256: str
    acknowledged_at: str


class Acknowledged(Figures):
    """What ``process_mqtt_message`` returns."""

    ack_topic: str
    broker_said: str
    """``Success``, or that nobody listens to the topic."""


@app.task(name="process_mqtt_message", base=ExternalAPITask, bind=True, dependencies=("mqtt",))
def process_mqtt_message(
    self: Any,
    topic: Topic,
    payload: dict[str, Any] | str,
    ack_topic: Topic | None = None,
) -> Acknowledged:
    """Checks a message that came in over MQTT and publishes its acknowledgement at QoS 1, by default to topic/ack.

    Succeeds when the broker has taken the acknowledgement. A broker that is away is retried; one that refuses the
    login or the message is permanent. A second attempt publishes it again: ``task_id`` in it is the same.
    """
    answer_to = ack_topic or f"{topic}/ack"
    for name in (topic, answer_to):
        if len(name.encode()) > _TOPIC_BYTES:
            raise MessageNotValid(f"a topic has at most {_TOPIC_BYTES} bytes")
    content = payload.encode() if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False).encode()
    if len(content) > PAYLOAD_BYTES:
        raise MessageNotValid(f"the payload has {len(content)} bytes, {PAYLOAD_BYTES} are allowed")
    own_id = payload.get("id") if isinstance(payload, dict) else None
    message_id = own_id if isinstance(own_id, (str, int)) and len(str(own_id)) <= 200 else None
    figures: Figures = {
        "message_id": message_id,
        "payload_bytes": len(content),
        "payload_sha256": hashlib.sha256(content).hexdigest(),
        "acknowledged_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    acknowledgement = {"task_id": self.request.id, "topic": topic, "status": "accepted", **figures}
    with self.calling("mqtt"):
        said = mqtt.publish(settings(), answer_to, json.dumps(acknowledgement, ensure_ascii=False).encode())
    return {"ack_topic": answer_to, "broker_said": said, **figures}
