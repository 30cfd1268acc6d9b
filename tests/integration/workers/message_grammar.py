"""Messages from a grammar: what Celery and the control plane write, and what it becomes when any part of it is another.

The grammar knows the parts of a message and which kinds of values there are, not which of them do harm.
"""

import base64
import bz2
import contextlib
import functools
import json
import random
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman.transport.inflated import MOST_INFLATED_BYTES
from pointsman_contract.message import HEADER, VERSION, delivery_tag
from pointsman_contract.queues import list_key

QUEUE = "maintenance"
STEP = 7
LIST = list_key(QUEUE, STEP)
_TASKS = ("noop", "echo", "nobody.knows", "celery.backend_cleanup", "celery.chain", "", "\ud800", "a\nb")


class Grammar:
    """Draws messages; the same seed draws the same ones."""

    def __init__(self, seed: int, epoch: int) -> None:
        self._random = random.Random(seed)
        self._epoch = epoch
        self._number = 0

    def messages(self, count: int) -> Iterator[bytes]:
        """So many, each with an id of its own as long as its id is text."""
        for self._number in range(count):
            yield self._message()

    def _message(self) -> bytes:
        draw = self._random.random()
        if draw < 0.04:
            return self._bytes()
        self._id = str(UUID(int=self._random.getrandbits(128), version=4))
        managed = draw > 0.65
        protocol = 1 if draw < 0.12 else 2
        envelope = self._envelope(protocol, managed)
        for _ in range(self._random.choice((0, 0, 1, 1, 1, 2))):
            self._change(self._part(envelope))
        body = envelope.pop("body", None)
        for _ in range(self._random.choice((0, 0, 0, 0, 1, 2))):
            body = self._changed(body)
        envelope["body"] = self._encoded(body)
        if self._random.random() < 0.02:
            self._compress(envelope)
        if self._random.random() < 0.1:
            self._change(envelope, depth=1)
        raw = json.dumps(envelope).encode()
        return self._damaged(raw) if self._random.random() < 0.03 else raw

    # What is well formed

    def _envelope(self, protocol: int, managed: bool) -> dict[str, Any]:
        call: Any = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
        fields: dict[str, Any] = {
            "lang": "py",
            "task": "noop" if self._random.random() < 0.9 else self._random.choice(_TASKS),
            "id": self._id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": self._id,
            "parent_id": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "gen1@host",
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        }
        if managed:
            fields[HEADER] = self._header()
        if protocol == 1:
            headers: dict[str, Any] = {}
            body: Any = {name: fields[name] for name in ("task", "id", "retries", "eta", "expires", "timelimit")}
            body |= {"args": [], "kwargs": {}, "callbacks": None, "errbacks": None, "chord": None, "taskset": None}
            body["utc"] = True
        else:
            headers, body = fields, call
        return {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": self._id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": STEP,
                "body_encoding": "base64",
                "delivery_tag": delivery_tag(self._id, 1),
            },
        }

    def _header(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "epoch": self._epoch,
            "dispatch": 1,
            "after": 0,
            "max_attempts": 4,
            "expires_at": None,
            "traceparent": None,
            "sequence": self._number,
            "sent_at": datetime.now(UTC).timestamp(),
        }

    # What it becomes

    def _part(self, envelope: dict[str, Any]) -> Any:
        """Mostly one of the fields: whoever replaces the whole of them learns little."""
        headers, draw = envelope.get("headers"), self._random.random()
        if draw < 0.25 or not isinstance(headers, dict):
            return envelope
        return headers[HEADER] if draw < 0.5 and isinstance(headers.get(HEADER), dict) else headers

    def _change(self, value: Any, depth: int = 4) -> None:
        """Replace, drop or add one part somewhere in an object or list."""
        while depth and isinstance(value, dict | list) and value:
            keys = list(value) if isinstance(value, dict) else range(len(value))
            key = self._random.choice(keys)
            inner = value[key]
            if key != "body" and isinstance(inner, dict | list) and inner and self._random.random() < 0.8:
                value, depth = inner, depth - 1
                continue
            draw = self._random.random()
            if draw < 0.2:
                del value[key]
            elif draw < 0.3 and isinstance(value, dict):
                value[self._random.choice((*_NAMES, "x", ""))] = self._value(2)
            else:
                value[key] = self._near(key) if draw < 0.6 else self._value(2)
                if key == "id" and isinstance(value[key], str):
                    # Two messages of one id could not be told apart.
                    value[key] += str(self._number)
            return

    def _near(self, key: Any) -> Any:
        """A value of the sort that belongs there."""
        draw = self._random.choice
        if key in ("eta", "expires"):
            # Nothing that a worker would rightly wait for.
            at = datetime.now(UTC) + timedelta(days=draw((-739_000, -25_000, -1, 400, 2_900_000)))
            return draw(
                (at.isoformat(), at.replace(tzinfo=None).isoformat(), "9999-12-31T23:59:59", "soon", "", "24:00")
            )
        if key == "timelimit" or isinstance(key, int):
            return [draw(_NUMBERS) for _ in range(draw((0, 1, 2, 2, 2, 3)))]
        if key in ("callbacks", "errbacks", "chain", "chord"):
            return draw(([], [{"task": "noop"}], [{"task": 5}], {"task": "noop"}, [{}], ["noop"], {"x": 1}))
        if key == "task":
            return draw(_TASKS)
        return draw((draw(_NUMBERS), draw(_WORDS), self._value(1)))

    def _changed(self, body: Any) -> Any:
        if self._random.random() < 0.25 or not isinstance(body, dict | list):
            return self._value(3)
        self._change(body)
        return body

    def _value(self, depth: int) -> Any:
        draw = self._random.randrange(7 if depth else 4)
        if draw == 0:
            return self._random.choice((None, True, False))
        if draw == 1:
            return self._random.choice(_NUMBERS)
        if draw in (2, 3):
            return self._random.choice(_WORDS)
        if draw == 4:
            return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
        if draw == 5:
            return {
                self._random.choice((*_NAMES, "a")): self._value(depth - 1) for _ in range(self._random.randrange(3))
            }
        return self._deep(self._random.choice((30, 150, 255, 300, 500, 800, 900)))

    def _deep(self, levels: int) -> Any:
        value: Any = None
        for _ in range(levels):
            value = [value] if self._random.random() < 0.5 else {"a": value}
        return value

    def _encoded(self, body: Any) -> Any:
        draw = self._random.random()
        if draw < 0.03:
            return self._value(2)
        text = json.dumps(body).encode() if draw > 0.06 else self._bytes()
        return base64.b64encode(text).decode()

    def _compress(self, envelope: dict[str, Any]) -> None:
        headers, body = envelope.get("headers"), envelope["body"]
        if not isinstance(headers, dict) or not isinstance(body, str):
            return
        headers["compression"], compress = self._random.choice((("gzip", zlib.compress), ("bzip2", bz2.compress)))
        packed = compress(body.encode() if "\ud800" not in body else b"")
        draw = self._random.random()
        if draw < 0.25:
            headers["compression"], packed = "zlib", _bomb()
        elif draw < 0.5:
            packed = self._damaged(packed)
        elif draw < 0.75:
            with contextlib.suppress(ValueError):
                packed = compress(base64.b64decode(body))
        envelope["body"] = base64.b64encode(packed).decode()

    def _damaged(self, raw: bytes) -> bytes:
        at = self._random.randrange(len(raw))
        ways = raw[:at], raw[at:], raw[:at] + self._bytes() + raw[at:], raw + raw, b"[" + raw + b"]"
        return self._random.choice(ways)

    def _bytes(self) -> bytes:
        draw = self._random
        return draw.choice((*_BYTES, draw.randbytes(draw.randrange(60))))


@functools.cache
def _bomb() -> bytes:
    return zlib.compress(b"[" * (MOST_INFLATED_BYTES + 1))


_NUMBERS = (
    0, 1, -1, 5, 7, 0.5, -0.1, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 2**31, 2**53 + 1, 2**64,
    10**400, None, True,
)  # fmt: skip
_WORDS = (
    "", "x", "5", "null", "yes", "base64", "utf-8", "gzip", "application/x-python-serialize", "application/data",
    "text/plain", "\ud800", "\0", "\x1b[2J", "a\nb", "é", "x" * 3000, "2026-01-01T00:00:00", "../..", "%s%d{}", QUEUE,
    "nowhere",
)  # fmt: skip
_NAMES = (
    "task", "args", "kwargs", "callbacks", "chord", "get", "update", "clear", "_protected", "called_directly",
    "children", "delivery_info", "properties", "headers", "hostname", "is_eager", "utc", "compression", "managed_run",
    "redelivered", "taskset", "method", "__class__", "dependencies", "interruptions", "__type__", "__value__", "stamps",
    HEADER,
)  # fmt: skip
_BYTES = (
    b"", b"null", b"5", b"NaN", b"{}", b"[]", b'"', b"\xff\xfe", b"\0" * 50, b"[" * 900 + b"]" * 900, b"1" * 5000,
    b'{"properties":{"delivery_tag":"a\\nb"}}', b'{"properties":{"delivery_tag":"\xff"}}',
    b'{"__type__":"uuid","__value__":5}',
)  # fmt: skip
