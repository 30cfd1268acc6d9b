"""Which messages a node believes, where they are signed: those of the control plane, on the queue they were sent to.

A message is run once by its claim. Claims lie in Redis, too, so that a node also remembers what it has acknowledged:
should such a message come again and find no claim, Postgres is asked.
"""

import logging
import time
from collections import OrderedDict
from typing import Any

from pointsman.transport.envelope import NotAMessage
from pointsman_contract.keys import ASK_SECONDS
from pointsman_contract.message import HEADER, delivery_tag, signed_text
from pointsman_contract.signing import FORGED, UNSIGNED, Forged, Purpose, Signer, Trust

logger = logging.getLogger(__name__)

_SAY_SECONDS = 10.0
_REMEMBER_SECONDS = ASK_SECONDS + 60.0
"""An older message asks by itself."""
_MOST_REMEMBERED = 200_000
_ASKS = 0.0
"""As the time at which a message was sent: it asks unless there is a claim."""


class Belief:
    """Of one node. To be used by the thread that consumes."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._acknowledged: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._doubted = 0
        self._said_at = float("-inf")

    def check(self, message: Any, queue: str) -> None:
        """Raises ``NotAMessage`` for one that must not run. With ``warn`` it is only told of."""
        signer = self._trust.signer
        if signer is None:
            return
        try:
            sent_at = check(message, queue, signer)
        except Forged as fault:
            if self._trust.requires:
                raise NotAMessage(str(fault)) from None
            self._say(str(fault), queue)
            return
        header = message.headers[HEADER]
        # What the publish script wrote beside it is not signed.
        known = (message.headers["id"], header["dispatch"]) in self._acknowledged
        header["sent_at"] = _ASKS if known else sent_at

    def acknowledged(self, task: str, dispatch: int) -> None:
        """A managed message is done with: it is not to come again."""
        if self._trust.signer is None:
            return
        now, seen = time.monotonic(), self._acknowledged
        seen[task, dispatch] = now
        while len(seen) > _MOST_REMEMBERED or now - next(iter(seen.values())) > _REMEMBER_SECONDS:
            seen.popitem(last=False)

    def _say(self, reason: str, queue: str) -> None:
        self._doubted += 1
        if time.monotonic() - self._said_at < _SAY_SECONDS:
            return
        logger.warning(
            "%d messages are run that message_signing=require would set aside, the last on queue %s: %s",
            self._doubted,
            queue,
            reason,
        )
        self._doubted, self._said_at = 0, time.monotonic()


def check(message: Any, queue: str, signer: Signer) -> float:
    """When the control plane sent it, by the clock of Redis. Raises ``Forged``."""
    headers, raw = message.headers, message._raw
    header = headers.get(HEADER)
    signature = header.get("signed") if type(header) is dict else None
    if type(header) is not dict or type(signature) is not str:
        raise Forged(UNSIGNED)
    at, _, rest = signature.partition(" ")
    key, _, mac = rest.partition(" ")
    signer.check(Purpose.MESSAGE, signed_text(at, queue, raw.get("body"), headers), key, mac)
    properties = raw["properties"]
    get = properties.get
    # What is not signed is as it must be, or the message was put together of parts.
    if (
        raw.get("content-type") != "application/json"
        or raw.get("content-encoding") != "utf-8"
        or get("body_encoding") != "base64"
        or get("reply_to")
        or get("correlation_id") != headers["id"]
        or get("delivery_tag") != delivery_tag(headers["id"], header["dispatch"])
        or get("delivery_info", {}).get("routing_key") != queue
    ):
        raise Forged(FORGED)
    return float(at)
