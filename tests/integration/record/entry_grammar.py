"""Entries of the event stream that no worker writes: a good one about a real task, with something wrong in it."""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from pointsman_contract.events import EventKind

Fields = list[tuple[bytes, bytes]]
Value = Callable[[random.Random], Any]

_NUL, _LONG = "\x00", "x" * 70_000
_DEEP = "[" * 900 + "]" * 900
_NO_TEXT: tuple[Any, ...] = (None, 0, 1.5, True, [], {}, ["noop"], {"a": 1}, _LONG)
_NO_INTEGER: tuple[Any, ...] = (
    None, "1", "", 1.5, 1e300, True, [], {}, -1, -(2**63), 2**31, 2**64, 10**400, float("nan"), float("inf"),
)  # fmt: skip
_NO_SPAN: tuple[Any, ...] = (
    None, "1", "", True, [], {}, -1, -1e-300, 1e9, 1e17, 1e308, 10**400, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_NO_MOMENT: tuple[Any, ...] = (
    None, "1", True, [], {}, 0, -1, -1e17, 1e17, 1e308, 253402300800, 4_102_444_800, float("nan"), float("inf"),
)  # fmt: skip
_NO_FLAG: tuple[Any, ...] = (0, 1, "true", [], {}, 1.5)
_NO_LIST: tuple[Any, ...] = ("x", 1, True, {}, [1], [None], [["x"]], {"x": 1})
_NO_MAP: tuple[Any, ...] = (
    "x", 1, True, [], ["x"], {"": 1}, {"x": "1"}, {"x": 1.5}, {"x": -1}, {"x": 2**64}, {"x" * 300: 1},
)  # fmt: skip
_NO_ERROR: tuple[Any, ...] = ("x", 1, [], {}, {"type": "E"}, {"type": 1, "message": "", "traceback": ""}, ["a", "b"])

_TOLD: dict[str, tuple[Any, ...]] = {
    "task_type": (*_NO_TEXT, "", "x" * 201),
    "queue": (*_NO_TEXT, "x" * 256),
    "worker": (*_NO_TEXT, "", "x" * 401),
    "dispatch": _NO_INTEGER,
}
_ENDED = _TOLD | {
    "started_at": _NO_MOMENT,
    "run_seconds": _NO_SPAN,
    "result": (0, 1.5, True, [], {}, _LONG),
    "permanent": _NO_FLAG,
    "retry_in_seconds": ("1", True, [], {}, float("nan"), float("inf"), float("-inf")),
    "max_attempts": ("1", True, [], {}, float("nan"), float("inf")),
    "timed_out": _NO_FLAG,
    "interrupted": _NO_FLAG,
    "progress": (0, 1.5, True, [], {}, _LONG),
    "breakers": _NO_MAP,
    "blamed": _NO_LIST,
    "answered": _NO_LIST,
    "error_classes": _NO_LIST,
}
_WRONG: Mapping[EventKind, Mapping[str, tuple[Any, ...]]] = {
    EventKind.SUCCEEDED: _ENDED | {"error": _NO_ERROR},
    EventKind.FAILED: _ENDED | {"error": (None, *_NO_ERROR)},
    EventKind.BLOCKED: _ENDED | {"held_by": (*_NO_TEXT, "", "noop", "worker:x", "dependency:", "task_type:" + _LONG)},
    EventKind.UNCLAIMED: _TOLD | {"reason": (*_NO_TEXT, _LONG)},
    EventKind.PROGRESS: {"attempt": (*_NO_INTEGER, 0, 2**15), "progress": (*_NO_TEXT, None)},
    EventKind.NATIVE: {
        "task_type": (*_NO_TEXT, "", "x" * 201),
        "queue": (*_NO_TEXT, "x" * 256),
        "worker": (*_NO_TEXT, ""),
        "state": (*_NO_TEXT, "", "x" * 101),
        "run_seconds": _NO_SPAN,
        "error": _NO_ERROR,
    },
    EventKind.CATALOGUE: {
        "worker": (*_NO_TEXT, ""),
        "specs": (
            None, 1, "x", {}, [1], [None], [{}], [{"name": ""}], [{"name": "n", "time_limit_seconds": -1}],
            [{"name": "n" * 201, "time_limit_seconds": 1}],
            [{"name": "n", "time_limit_seconds": float("nan")}],
            [{"name": "n", "time_limit_seconds": float("inf")}],
            [{"name": "n", "time_limit_seconds": 1, "description": _NUL}],
            [{"name": "n", "time_limit_seconds": 1, "arguments_schema": {"x": float("nan")}}],
            [{"name": "n", "time_limit_seconds": 1, "arguments_schema": {_NUL: 1}}],
        ),
    },
}  # fmt: skip
"""What each field of a body cannot be; a field that may be absent can be null, and is not listed with it."""

_OPTIONAL = frozenset(_ENDED) - {*_TOLD, "started_at", "run_seconds"} | {"error"}
_OF_THE_ENTRY: Mapping[bytes, tuple[bytes, ...]] = {
    b"kind": (b"", b"done", b"STARTED", b"started ", b"\xff\xfe", b"x" * 5000, b"0"),
    b"task": (b"", b"1", b"null", b"\xff" * 16, b"x" * 36, b"{%b}", b"urn:uuid:%b", b"%b ", b"%b0"),
    b"attempt": (b"", b"x", b"-1", b"1.0", b"1e3", b" 1", b"1_0", b"32768", b"9" * 400, b"NaN", b"\xff", b"[1]"),
    b"at": (
        b"", b"x", b"0", b"-1", b"1e17", b"-1e17", b"1e18", b"1e308", b"-1e308", b"nan", b"inf", b"-inf", b"9" * 400,
        b"253402300800", b"4102444800", b"[1]", b"\xff",
    ),
    b"late": (b"", b"2", b"true", b"-1", b"\xff"),
    b"body": (
        b"", b"null", b"5", b"[]", b'"x"', b"{", b"{}", b"\xff", b'{"worker":"\xff"}', b'{"worker":"\\ud800"}',
        _DEEP.encode(), b'{"a":' + _DEEP.encode() + b"}", b"1" * 5000, b"NaN", b" " * 2_000_000, b"{} {}",
    ),
}  # fmt: skip


class Grammar:
    """Malformed entries about some tasks, by a seed."""

    def __init__(self, seed: int, tasks: list[str], at: float) -> None:
        self._random = random.Random(seed)
        self._tasks = tasks
        self._at = at

    def entry(self) -> list[bytes]:
        """The words of one XADD."""
        chosen = self._random
        kind = chosen.choice(list(EventKind))
        body = self._body(kind)
        wrong = _WRONG.get(kind, _TOLD)
        if chosen.random() < 0.6:
            for name in chosen.sample(sorted(wrong), chosen.choice((1, 1, 1, 2, 3)) if len(wrong) > 2 else 1):
                if name not in _OPTIONAL and chosen.random() < 0.1:
                    body.pop(name, None)
                else:
                    body[name] = chosen.choice(wrong[name])
            return _flat(self._fields(kind, body))
        return _flat(self._spoiled(kind, self._fields(kind, body)))

    def _spoiled(self, kind: EventKind, fields: Fields) -> Fields:
        chosen = self._random
        name = chosen.choice(sorted(_OF_THE_ENTRY))
        if name == b"task" and kind in (EventKind.NATIVE, EventKind.CATALOGUE):
            # Any text names a plain task.
            name = b"at"
        way = chosen.random()
        if way < 0.1 and name != b"late":
            return [field for field in fields if field[0] != name]
        if way < 0.2:
            return [*fields, next(field for field in fields if field[0] == name)]
        value = chosen.choice(_OF_THE_ENTRY[name]).replace(b"%b", self._tasks[0].encode())
        return [(key, value if key == name else old) for key, old in fields]

    def _fields(self, kind: EventKind, body: Mapping[str, Any]) -> Fields:
        fields = [
            (b"kind", str(kind).encode()),
            (b"task", self._random.choice(self._tasks).encode()),
            (b"attempt", b"1"),
            (b"at", f"{self._at:.6f}".encode()),
            (b"late", self._random.choice((b"0", b"1"))),
            (b"body", json.dumps(body).encode()),
        ]
        return [*fields, (b"breaker", b"task_type:noop")] if kind is EventKind.HELD else fields

    def _body(self, kind: EventKind) -> dict[str, Any]:
        told: dict[str, Any] = {"task_type": "noop", "queue": "maintenance", "worker": "w@h"}
        if kind is EventKind.NATIVE:
            return told | {"state": "SUCCESS", "run_seconds": 0.1}
        if kind is EventKind.CATALOGUE:
            return {"worker": "w@h", "specs": []}
        if kind is EventKind.PROGRESS:
            return {"attempt": 1, "progress": "{}"}
        told |= {"dispatch": 1}
        if kind is EventKind.UNCLAIMED:
            return told | {"reason": "its queue is not known"}
        if kind not in (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.BLOCKED):
            return told
        told |= {"started_at": self._at, "run_seconds": 0.1}
        error = {"type": "E", "message": "", "traceback": ""}
        more = {"held_by": "dependency:smtp"} if kind is EventKind.BLOCKED else {}
        return told | more if kind is EventKind.SUCCEEDED else told | {"error": error} | more


def _flat(fields: Fields) -> list[bytes]:
    return [word for field in fields for word in field]
