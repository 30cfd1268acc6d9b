from datetime import timedelta

from pointsman_service.now.changes import changes, what_of
from pointsman_service.now.picture import said
from pointsman_service.operate.act import ActKind
from pointsman_service.store.first_page.beside import ChangeRow, VersionRow
from tests.unit.now.moments import NOW, TASK


def test_every_act_has_words() -> None:
    told = {kind: said(what_of(kind, TASK)) for kind in ActKind}

    assert len(set(told.values())) == len(ActKind)
    assert not [text for text in told.values() if text != text.strip() or "_" in text]


def test_breaker_is_called_by_its_name_and_linked_by_its_key() -> None:
    first, _ = words = what_of(ActKind.FORCE_OPEN, "dependency:api.bank.example")

    assert said(words) == "api.bank.example was forced open"
    assert first.link is not None
    assert (str(first.link.kind), first.link.name) == ("breaker", "dependency:api.bank.example")


def test_what_has_an_id_for_a_name_is_called_by_what_it_is() -> None:
    told = {
        ActKind.RESOLVE_ERROR: ("KeyError: <text> of shop.charge", "KeyError: <text> of shop.charge was resolved"),
        ActKind.SILENCE: ("reports has no worker.", "An alert (reports has no worker) was silenced"),
        ActKind.CANCEL_MANY: ("1200", "1,200 tasks were cancelled by a filter"),
        ActKind.RETRY_MANY: ("1", "1 task was run again by a filter"),
        ActKind.UNDO_MANY: ("7", "An act on 7 tasks was undone"),
    }
    for kind, (about, text) in told.items():
        first, _ = words = what_of(kind, TASK, about)
        assert said(words) == text
        assert first.link is not None
        assert first.link.name == TASK


def test_act_of_another_release_is_told_as_it_is() -> None:
    assert said(what_of("move_tasks", "email")) == "move_tasks: email"


def test_newest_change_comes_first_and_versions_are_among_them() -> None:
    acts = [ChangeRow(NOW, ActKind.PAUSE, "email", "ada", "provider moves")]
    fresh = ["a", "b", "c"]
    versions = [
        VersionRow(NOW + timedelta(seconds=1), fresh, 5, [], 0),
        VersionRow(NOW - timedelta(seconds=1), ["a"], 1, ["shop.new"], 1),
    ]

    assert [(said(change.what), change.actor, change.reason) for change in changes(acts, versions)] == [
        ("New versions of a, b, c and 2 more", "workers", None),
        ("email was paused", "ada", "provider moves"),
        ("New version of a; new: 1 task type (shop.new)", "workers", None),
    ]
