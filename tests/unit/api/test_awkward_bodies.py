"""Whatever a body holds, refusing it costs memory, time and answer in proportion to its size."""

import gc
import json
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import KnownTaskType
from pointsman_service.admit.submission import Submission, parse_submission
from pointsman_service.api.bodies.body import parse_json
from pointsman_service.api.problems.document import problem_bytes
from pointsman_service.errors import FAULTS_SHOWN, PointsmanError

_SEED = int(os.environ.get("POINTSMAN_BODIES_SEED", "25"))
_ROUNDS = int(os.environ.get("POINTSMAN_BODIES_ROUNDS", "1"))
_BYTES = 200_000
_ANSWER_BYTES = 130_000
"""20 faults, each with a pointer and a detail of 500 characters, that may be six bytes each when escaped."""
_MEMORY, _MEMORY_RATIO = 4_000_000, 150
"""A list of one list takes two bytes of text, and Python 100."""
_SECONDS, _SECONDS_A_MEGABYTE = 0.2, 10.0
"""Of a busy machine; what grows with the square of a body takes many times as long."""

_STRICT = KnownTaskType(
    TaskTypeSpec(
        name="strict",
        time_limit_seconds=1,
        arguments_schema={
            "type": "object",
            "properties": {
                "numbers": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
                "tree": {"$ref": "#/$defs/tree"},
            },
            "additionalProperties": False,
            "$defs": {"tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}},
        },
    )
)
_LEAVES = (b"NaN", b"-Infinity", b"1e999", rb'"\u0000"', rb'"\ud800"', b'""', b"[]", b"{}", b"null", b"1e15", b"-0")


def _long_key(random_: random.Random) -> bytes:
    key = random_.choice((b"k", b"~", b"/", rb"\u0000", rb"\ud800", "ü".encode()))
    leaf = random_.choice(_LEAVES)
    half = _BYTES // 2
    return b'{"' + key * (half // len(key)) + b'": [' + b",".join([leaf] * (half // (len(leaf) + 1))) + b"]}"


def _many_keys(random_: random.Random) -> bytes:
    leaf = random_.choice(_LEAVES)
    return b"{" + b",".join(b'"%d":%b' % (n, leaf) for n in range(_BYTES // (len(leaf) + 9))) + b"}"


def _deep_with_long_keys(random_: random.Random) -> bytes:
    levels = random_.randint(2, 30)
    opening = b"".join(b'{"' + bytes([97 + n % 26]) * (_BYTES // levels // 2) + b'":' for n in range(levels))
    leaf = random_.choice(_LEAVES)
    return opening + b"[" + b",".join([leaf] * (_BYTES // 2 // (len(leaf) + 1))) + b"]" + b"}" * levels


def _deeper_than_python(random_: random.Random) -> bytes:
    levels = random_.choice((199, 500, 900, 5000))
    return b"[NaN," + b"[" * levels + b"]" * levels + b"]"


def _many_of_one(random_: random.Random) -> bytes:
    leaf = random_.choice(_LEAVES)
    return b"[" + b",".join([leaf] * (_BYTES // (len(leaf) + 1))) + b"]"


def _tree(random_: random.Random) -> bytes:
    levels, chain = 25, b""
    for _ in range(levels):
        chain = b'{"' + b"t" * random_.randint(1, 3) + b'":' + (chain or b"1") + b"}"
    return b"{" + b",".join(b'"%d":%b' % (n, chain) for n in range(_BYTES // (len(chain) + 9))) + b"}"


_SHAPES: tuple[Callable[[random.Random], bytes], ...] = (
    _long_key, _many_keys, _deep_with_long_keys, _deeper_than_python, _many_of_one, _tree,
)  # fmt: skip
_PLACES = (
    b"%b", b'{"task_type": "strict", "kwargs": {"numbers": %b}}', b'{"task_type": "strict", "kwargs": {"tree": %b}}',
    b'{"task_type": "strict", "kwargs": %b}', b'{"task_type": "strict", "tags": %b}',
    b'{"task_type": "strict", "dependencies": %b}',
)  # fmt: skip


def _answer(body: bytes) -> bytes:
    """What a submission of this body is answered, when it is refused."""
    try:
        submission = parse_submission(parse_json(body, 32), Submission)
        _STRICT.check(submission.args, submission.kwargs)
    except PointsmanError as error:
        return problem_bytes(error, "/v1/tasks")
    return b""


def _cost_of(body: bytes) -> tuple[bytes, int, float]:
    """The answer, how many bytes this process grew meanwhile, extensions counted, and seconds of the processor."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, began = _memory("VmRSS"), time.process_time()
    answer = _answer(body)
    return answer, _memory("VmHWM") - before, time.process_time() - began


def _memory(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("shape", _SHAPES)
def test_refusing_an_awkward_body_costs_in_proportion_to_its_size(
    shape: Callable[[random.Random], bytes], place: bytes
) -> None:
    random_ = random.Random(f"{_SEED} {shape.__name__} {place!r}")
    for _ in range(_ROUNDS):
        body = place % shape(random_)
        answer, peak, seconds = _cost_of(body)

        shown = f"seed {_SEED}: {body[:60]!r}"
        assert len(answer) < _ANSWER_BYTES, shown
        assert peak < _MEMORY + _MEMORY_RATIO * len(body), shown
        assert seconds < _SECONDS + _SECONDS_A_MEGABYTE * len(body) / 1e6, shown
        if answer:
            assert len(json.loads(answer).get("errors", ())) <= FAULTS_SHOWN
