"""Who finds a place to listen, and who has taken enough of them."""

from contextlib import suppress
from uuid import UUID

import pytest

from pointsman_service.access.rights import operations_of
from pointsman_service.access.scopes import PRESETS, Preset
from pointsman_service.callers import LOCAL, Caller, KnownBy
from pointsman_service.errors import TooManyListeners
from pointsman_service.live.places import Places


def key(name: str, preset: Preset = Preset.VIEWER) -> Caller:
    return Caller(name, KnownBy.KEY, acts=operations_of(PRESETS[preset]))


def link(number: int) -> Caller:
    return Caller("_links", KnownBy.LINK, acts=frozenset(), task_id=UUID(int=number))


def taken(places: Places, caller: Caller) -> int:
    """How many places this caller gets, when it takes whatever it gets."""
    for count in range(10_000):
        with suppress(TooManyListeners):
            places.take(caller)
            continue
        return count
    raise AssertionError("there is no end of them")


def test_one_caller_leaves_as_many_as_it_has_and_the_next_likewise() -> None:
    places = Places(100)
    assert taken(places, key("greedy")) == 45
    with pytest.raises(TooManyListeners, match=r"greedy: 45 listen.*leaves places to others") as refused:
        places.check(key("greedy"))
    assert refused.value.retry_after_seconds
    assert taken(places, key("other")) == 23
    for _ in range(2):
        places.leave(key("greedy"))
    places.take(key("other"))


def test_the_last_are_kept_for_whoever_may_make_keys_and_for_this_machine() -> None:
    places = Places(100)
    assert sum(taken(places, key(f"viewer-{number}")) for number in range(100)) == 90
    with pytest.raises(TooManyListeners, match="kept for those who may make keys"):
        places.check(key("another"))
    assert taken(places, key("ops", Preset.ADMIN)) == 5
    assert taken(places, LOCAL) == 5
    with pytest.raises(TooManyListeners, match=r"100 listen to this process already.*POINTSMAN_LISTENERS_MOST"):
        places.check(LOCAL)


def test_links_are_one_caller_together_and_none_of_them_takes_all_of_it() -> None:
    places = Places(100)
    assert taken(places, link(1)) == 30
    assert taken(places, link(2)) > 0
    assert sum(taken(places, link(number)) for number in range(3, 100)) > 0
    places.take(key("viewer"))


def test_as_many_as_somebody_says_are_for_one_caller() -> None:
    places = Places(100, most_of_one=80)
    assert taken(places, key("gateway")) == 80
    assert taken(places, key("other")) == 10
    assert taken(Places(100, most_of_one=3), key("one")) == 3


def test_who_needs_no_key_is_one_of_many_and_takes_all() -> None:
    assert taken(Places(7), LOCAL) == 7
    assert taken(Places(1), key("only")) == 1
