"""The recorder's table of bodies against the types that both sides share."""

import json
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from pointsman_contract.event_text import body_text, outcome_text, started_text
from pointsman_contract.events import BODIES, Ending, EventKind
from pointsman_service.record.bodies import read_body

ALWAYS = {EventKind.FAILED: {"error"}, EventKind.BLOCKED: {"error", "held_by"}}
"""Fields that a type does not promise, because one type stands for several kinds."""
SAMPLES: dict[type, Any] = {str: "a", int: 1, float: 1.5, bool: True, NoneType: None}
"""None of them is of two types to the recorder, but an integer where a number is wanted."""

OTHERS: list[Any] = [{}, [], "a", True, 1.5]


def sample(kind: Any) -> Any:
    """A value of a type."""
    if is_typeddict(kind):
        return {name: sample(hint) for name, hint in get_type_hints(kind).items()}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return sample(arguments[0])
    if origin is list:
        return [sample(arguments[0])]
    if origin is not None:
        return {"a": sample(arguments[1])}
    return SAMPLES.get(kind, "anything")


def required(kind: EventKind) -> frozenset[str]:
    names: frozenset[str] = BODIES[kind].__required_keys__  # type: ignore[attr-defined]  # of a TypedDict
    return names | ALWAYS.get(kind, set())


def read(kind: EventKind, body: dict[str, Any]) -> object:
    return read_body(kind, json.dumps(body).encode())


def test_every_kind_has_a_body() -> None:
    assert BODIES.keys() == set(EventKind)


@pytest.mark.parametrize("kind", EventKind)
def test_body_is_read_as_its_type_says(kind: EventKind) -> None:
    whole = sample(BODIES[kind])
    assert read(kind, whole) == {name: value for name, value in whole.items() if name != "held_by"} | (
        {"held_by": "a"} if kind is EventKind.BLOCKED else {}
    )
    least = {name: whole[name] for name in required(kind)}
    assert read(kind, least) == least


@pytest.mark.parametrize("kind", EventKind)
def test_body_that_lacks_a_field_or_has_another_type_there_is_refused(kind: EventKind) -> None:
    whole = sample(BODIES[kind])
    for name in whole:
        if name == "held_by" and kind is not EventKind.BLOCKED:
            continue
        if name in required(kind):
            with pytest.raises(ValueError, match=f"^{name}: "):
                read(kind, {key: value for key, value in whole.items() if key != name})
        for other in OTHERS:
            if type(other) is not type(whole[name]) and not (type(other) is float and type(whole[name]) is int):
                with pytest.raises(ValueError, match=f"^{name}"):
                    read(kind, whole | {name: other})


STARTED = started_text("send", "email", "w@h", 7)
ENDING: Ending = {
    "error": {"type": "ValueError", "message": "nö 😀", "traceback": ""},
    "retry_in_seconds": 2.0,
    "breakers": {"task_type:send": 0, "dependency:smtp": None},
    "blamed": ["dependency:smtp"],
}


@pytest.mark.parametrize("text", [STARTED, outcome_text(STARTED, 5.5, 0.1234567, ENDING)], ids=["started", "outcome"])
def test_text_a_worker_writes_is_what_its_parts_say(text: str) -> None:
    kind = EventKind.STARTED if text is STARTED else EventKind.FAILED
    started = {"task_type": "send", "queue": "email", "worker": "w@h", "dispatch": 7}
    ended = {"started_at": 5.5, "run_seconds": 0.123457, **ENDING}
    assert read_body(kind, text.encode()) == (started if text is STARTED else started | ended)


def test_text_with_half_of_a_surrogate_pair_can_be_sent() -> None:
    assert json.loads(body_text({"by": "\ud83d", "kill": False}).encode()) == {"by": "\ud83d", "kill": False}
