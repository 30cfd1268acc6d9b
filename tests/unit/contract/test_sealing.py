import json
import re

import pytest

from pointsman_contract.key_rings import KeyRing
from pointsman_contract.sealing import BROKEN, CUT, CannotOpen, Field, Sealer, hidden, is_sealed

TASK = "0190aaaa-0000-7000-8000-000000000001"
OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32


def sealer(*keys: str) -> Sealer:
    return Sealer(KeyRing.parse(",".join(keys)))


def test_first_key_seals_and_every_key_of_the_ring_opens() -> None:
    before, during = sealer(OLD), sealer(NEW, OLD)
    word = during.seal("text", TASK, Field.MESSAGE)
    assert sealer(NEW).open(word) == "text"
    assert during.open(before.seal("téxt", TASK, Field.MESSAGE)) == "téxt"
    with pytest.raises(CannotOpen, match=r"^\(encrypted with key old, which is not here\)$"):
        sealer(NEW).open(before.seal("text", TASK, Field.MESSAGE))


def test_same_text_is_sealed_otherwise_each_time() -> None:
    words = {sealer(OLD).seal("text", TASK, Field.LINE) for _ in range(20)}
    assert len(words) == 20
    assert all(is_sealed(word, Field.LINE) and not is_sealed(word, Field.NOTE) for word in words)
    assert not is_sealed("text")


@pytest.mark.parametrize("change", [(TASK, "other"), (":message:", ":traceback:"), ("old", "new")])
def test_word_that_was_edited_stays_closed(change: tuple[str, str]) -> None:
    word = sealer(OLD).seal("text", TASK, Field.MESSAGE)
    with pytest.raises(CannotOpen, match=re.escape(BROKEN)):
        sealer(OLD, NEW).open(word.replace(*change))
    flipped = word[:-6] + ("A" if word[-6] != "A" else "B") + word[-5:]
    with pytest.raises(CannotOpen, match=re.escape(BROKEN)):
        sealer(OLD).open(flipped)
    with pytest.raises(CannotOpen, match=re.escape(CUT)):
        sealer(OLD).open(word[:-5])


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_json_is_what_it_was_once_it_is_opened(separators: tuple[str, str]) -> None:
    by = sealer(OLD)
    args, kwargs = by.seal_arguments('[1,"ä \\"q\\" \\u0001"]', '{"to":{"sealed":"no"}}', TASK)
    document = {
        "args": json.loads(args),
        "kwargs": json.loads(kwargs),
        "result": json.loads(by.seal_json("null", TASK, Field.RESULT)),
        "progress": {"meta": json.loads(by.seal_json('{"a":[1.5]}', TASK, Field.META))},
        "error": {"message": "in " + by.seal('"quoted"\n', TASK, Field.MESSAGE) + " end"},
        "several": [by.seal("one", TASK, Field.LINE), "two"],
    }
    text = json.dumps(document, separators=separators).encode()
    assert json.loads(by.opened_json(text)) == {
        "args": [1, 'ä "q" \u0001'],
        "kwargs": {"to": {"sealed": "no"}},
        "result": None,
        "progress": {"meta": {"a": [1.5]}},
        "error": {"message": 'in "quoted"\n end'},
        "several": ["one", "two"],
    }
    closed = json.loads(sealer(NEW).opened_json(text))
    why = "(encrypted with key old, which is not here)"
    assert (closed["args"], closed["kwargs"], closed["result"]) == ([why], {"sealed": why}, why)
    assert "pm-sealed" not in hidden(text.decode())
    assert by.arguments(document["args"], document["kwargs"]) == ('[1,"ä \\"q\\" \\u0001"]', '{"to":{"sealed":"no"}}')
    assert by.arguments([1], {"a": 1}) == (None, None)


def test_text_for_people_is_opened_and_what_was_cut_says_so() -> None:
    by = sealer(OLD)
    word = by.seal("<b>" + "x" * 100, TASK, Field.TRACEBACK)
    assert by.opened(f"a {word} b") == "a <b>" + "x" * 100 + " b"
    assert by.opened(word, lambda text: text.replace("<", "&lt;")).startswith("&lt;b>")
    assert by.opened(word[:80]) == CUT
    assert by.opened(word[-60:]) == CUT
    assert by.opened("nothing of ours.pm") == "nothing of ours.pm"
