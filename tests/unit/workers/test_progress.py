import json
import logging
from typing import Any

import pytest

from pointsman.run.progress import progress_text
from pointsman_contract.events import PROGRESS_BYTES


def told(**changes: Any) -> dict[str, Any]:
    given = {"state": "PROGRESS", "current": None, "total": None, "note": "", "meta": None} | changes
    found: dict[str, Any] = json.loads(progress_text(**given))
    return found


def test_numbers_and_note_are_kept() -> None:
    found = told(current=3, total=12, note="March")
    assert (found["current"], found["total"], found["note"], found["meta"]) == (3, 12, "March", None)
    assert found["at"] > 1_700_000_000


def test_meta_of_celerys_update_state_fills_what_is_not_given() -> None:
    found = told(state="UPLOADING", meta={"current": 1, "total": 2, "note": "x", "file": "a"})
    assert found["state"] == "UPLOADING"
    assert (found["current"], found["total"], found["note"]) == (1, 2, "x")
    assert found["meta"] == {"current": 1, "total": 2, "note": "x", "file": "a"}


@pytest.mark.parametrize("value", ["3", None, float("nan"), float("inf"), 10**400, True, object()])
def test_what_is_no_number_is_null(value: Any) -> None:
    assert told(current=value)["current"] is None


@pytest.mark.parametrize("meta", [{"a": object()}, {"a": float("nan")}, {"a": "x" * PROGRESS_BYTES}])
def test_a_meta_that_cannot_be_kept_is_left_out_and_said(meta: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = told(current=1, meta=meta)
    assert (found["current"], found["meta"]) == (1, None)
    assert "left out" in caplog.text


def test_a_long_or_unstorable_note_is_cut_and_cleaned() -> None:
    assert len(told(note="x" * 5000)["note"]) == 500
    assert told(note="a\0b")["note"] == "a\ufffdb"


def test_a_meta_that_is_no_object_is_kept_in_one() -> None:
    assert told(meta="half")["meta"] == {"meta": "half"}


def test_a_lone_surrogate_in_meta_does_not_hide_the_rest() -> None:
    assert told(current=1, meta={"file": "a\ud800"})["meta"] == {"file": "a\ufffd"}
