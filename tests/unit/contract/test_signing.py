import json
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from pointsman.node.believed import Belief
from pointsman.transport.envelope import NotAMessage
from pointsman_contract.key_rings import KeyRing
from pointsman_contract.message import signed_text
from pointsman_contract.signing import (
    LANE_SECONDS,
    Forged,
    Lane,
    Purpose,
    Signer,
    Trust,
    began_at,
    check_sealed,
    sealed,
)
from pointsman_service.broker import Envelope, encode

OLD, NEW, OTHER = "old:" + "o" * 32, "new:" + "n" * 32, "other:" + "x" * 32


def signer(*keys: str) -> Signer:
    return Signer(KeyRing.parse("\n".join(keys)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must hold a key"),
        ("s" * 40, "key 1 must be a name"),
        ("a:short", "the secret of key a must be 32 or more"),
        (f"{OLD} {OLD}", "key old is there twice"),
        (f"{OLD}\nna me:{'s' * 40}", "key 2 must be a name"),
    ],
)
def test_ring_that_is_none_is_refused_without_its_secrets(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        KeyRing.parse(text)
    assert "ooo" not in str(refused.value) + repr(KeyRing.parse(OLD).first)
    assert "sss" not in str(refused.value)


def test_first_key_signs_and_every_key_of_the_ring_is_known() -> None:
    before, during, after = signer(OLD), signer(NEW, OLD), signer(NEW)
    assert during.sign(Purpose.EVENT, b"text").startswith("new ")
    during.check_signature(Purpose.EVENT, b"text", before.sign(Purpose.EVENT, b"text"))
    after.check_signature(Purpose.EVENT, b"text", during.sign(Purpose.EVENT, b"text"))
    with pytest.raises(Forged, match="not in the ring"):
        after.check_signature(Purpose.EVENT, b"text", before.sign(Purpose.EVENT, b"text"))


@pytest.mark.parametrize("signature", [None, "", "old", "old ", "old é", f"old {'A' * 43}="])
def test_what_is_no_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(Forged):
        signer(OLD).check_signature(Purpose.EVENT, b"text", signature)


def test_signature_is_for_its_purpose_its_text_and_its_secret() -> None:
    made = signer(OLD).sign(Purpose.EVENT, b"text")
    for by, purpose, text in (
        (signer(OLD), Purpose.MESSAGE, b"text"),
        (signer(OLD), Purpose.EVENT, b"test"),
        (signer("old:" + "0" * 32), Purpose.EVENT, b"text"),
    ):
        with pytest.raises(Forged, match="made up, or changed"):
            by.check_signature(purpose, text, made)


def test_sealed_object_is_still_json_and_any_change_breaks_it() -> None:
    by = signer(OLD)
    text = sealed(by, Purpose.BEAT, json.dumps({"owner": "w", "counter": 7}))
    check_sealed(by, Purpose.BEAT, text)
    assert json.loads(text)["counter"] == 7
    for changed in (text.replace("7", "8"), text.replace(', "signed"', ', "more": 1, "signed"'), '{"counter": 7}', ""):
        with pytest.raises(Forged):
            check_sealed(by, Purpose.BEAT, changed)


def test_numbers_of_a_lane_rise_and_each_day_has_another_lane() -> None:
    clock = [1_000_000.0]
    lane = Lane(lambda: clock[0])
    first, second = (lane.next().split(":") for _ in range(2))
    assert (first[0], int(first[1]), int(second[1])) == (second[0], 1, 2)
    assert began_at(first[0]) == 1_000_000.0
    clock[0] += LANE_SECONDS
    third = lane.next().split(":")
    assert third[0] != first[0]
    assert third[1] == "1"


ENVELOPES = (
    Envelope("0190aaaa-0000-7000-8000-000000000001", "noop", "email", 3, "[]", "{}", 300.0, 1, 0, 4, None, None),
    Envelope(
        "0190aaaa-0000-7000-8000-000000000002",
        'wörter "und" mehr, ":',
        "quéue",
        10,
        '[1,"ä"]',
        '{"b":[1.5]}',
        0.25,
        7,
        3,
        4,
        1_700_000_000.123456,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        2,
        ('a, ":', "b"),
    ),
)


def message(envelope: Envelope, by: Signer | None) -> Any:
    """As a node reads it."""
    head, tail = encode(envelope, 5, by, "1700000000.000001")
    raw = json.loads(f'{head}9,"sent_at":1700000009.5{tail}')
    return SimpleNamespace(_raw=raw, headers=raw["headers"])


def believes(found: Any, queue: str, mode: Any = "require", keys: str = OLD) -> None:
    Belief(Trust.of(mode, SecretStr(keys))).check(found, queue)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_message_is_believed_and_its_signed_time_counts(envelope: Envelope) -> None:
    found = message(envelope, signer(OLD))
    raw = deepcopy(found._raw)
    head, _ = encode(envelope, 5)
    assert signed_text("1700000000.000001", envelope.queue, raw["body"], raw["headers"]) in {
        json.dumps(
            [
                "1700000000.000001",
                envelope.queue,
                raw["body"],
                {n: v for n, v in raw["headers"].items() if n != "pointsman"},
                {n: v for n, v in raw["headers"]["pointsman"].items() if n not in ("sequence", "sent_at", "signed")},
            ],
            sort_keys=True,
        ).encode()
    }
    assert head.startswith('{"body"')
    believes(found, envelope.queue)
    assert found.headers["pointsman"]["sent_at"] == 1_700_000_000.000001
    # kombu writes this where it gives a message back.
    found.headers["redelivered"] = True
    believes(found, envelope.queue)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [found for name, inner in value.items() for found in paths(inner, (*path, name))]
    return [path]


def edited(raw: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    made = deepcopy(raw)
    parent = made
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = change(parent[path[-1]])
    return made


_FREE = {
    # The publish script writes these, and nothing is done by them once the message is believed.
    ("headers", "pointsman", "sequence"),
    ("headers", "pointsman", "sent_at"),
    ("properties", "priority"),
    ("properties", "delivery_mode"),
    ("properties", "delivery_info", "exchange"),
}


def test_message_with_any_word_changed_is_not_believed() -> None:
    envelope = ENVELOPES[1]
    raw = message(envelope, signer(OLD))._raw
    tried = 0
    for path in paths(raw):
        if path in _FREE:
            continue
        for change in (lambda v: f"{v}x", lambda v: None if v is not None else 1):
            made = edited(raw, path, change)
            with pytest.raises(NotAMessage):
                believes(SimpleNamespace(_raw=made, headers=made["headers"]), envelope.queue)
            tried += 1
    assert tried > 60
    for name, inner in (("headers", {"ignore_result": False, "reply_to": "me"}), ("headers", {"more": 1})):
        made = deepcopy(raw)
        made[name] |= inner
        with pytest.raises(NotAMessage, match="changed on its way"):
            believes(SimpleNamespace(_raw=made, headers=made["headers"]), envelope.queue)


def test_message_on_another_queue_by_another_key_or_without_signature_is_not_believed() -> None:
    envelope = ENVELOPES[0]
    with pytest.raises(NotAMessage, match="changed on its way"):
        believes(message(envelope, signer(OLD)), "critical")
    with pytest.raises(NotAMessage, match="not in the ring"):
        believes(message(envelope, signer(OTHER)), "email")
    with pytest.raises(NotAMessage, match="not signed"):
        believes(message(envelope, None), "email")
    native = SimpleNamespace(_raw={"headers": {"id": "a"}}, headers={"id": "a"})
    with pytest.raises(NotAMessage, match="not signed"):
        believes(native, "email")
    # Told of, and run.
    believes(message(envelope, None), "email", "warn")
    believes(native, "email", "warn")


def test_message_that_was_acknowledged_and_comes_again_asks() -> None:
    belief = Belief(Trust.of("require", SecretStr(OLD)))
    first, again = message(ENVELOPES[0], signer(OLD)), message(ENVELOPES[0], signer(OLD))
    belief.check(first, "email")
    belief.acknowledged(ENVELOPES[0].task_id, ENVELOPES[0].dispatch)
    belief.check(again, "email")
    assert (first.headers["pointsman"]["sent_at"], again.headers["pointsman"]["sent_at"]) == (1_700_000_000.000001, 0.0)
