"""Who is asked for a key: by the address that the API binds, and by whom a request comes from."""

from typing import Any

import pytest
from pydantic import ValidationError

from pointsman_service.access.ring import KeyRing
from pointsman_service.callers import LOCAL, NOBODY, Caller
from pointsman_service.front.callers import KnownCallers
from pointsman_service.settings import Settings


class Ring(KeyRing):
    """Holds one key."""

    def __init__(self) -> None:
        self.fresh = {}

    def caller(self, token: bytes) -> Caller:
        return Caller(token.decode(), LOCAL.known_by)


def caller(fields: dict[bytes, bytes] | None = None, **settings: Any) -> Caller | None:
    return KnownCallers(Ring(), Settings(**settings)).of(fields or {}, "/v1/tasks")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_on_this_machine_alone_nobody_is_asked(host: str) -> None:
    assert caller(host=host) is LOCAL
    assert caller(host=host, keys_required=True) is NOBODY


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "pointsman.example.org"])
def test_where_others_reach_it_everybody_is_asked(host: str) -> None:
    assert caller(host=host) is NOBODY
    with pytest.raises(ValidationError, match="keys_required"):
        Settings(host=host, keys_required=False)


@pytest.mark.parametrize("field", [b"x-forwarded-for", b"forwarded", b"x-real-ip"])
def test_what_a_proxy_passes_on_comes_from_elsewhere(field: bytes) -> None:
    assert caller({field: b"10.0.0.7"}) is NOBODY
    assert caller({field: b"10.0.0.7"}, keys_required=False) is LOCAL


def test_a_key_that_is_shown_counts_and_passwords_of_a_proxy_do_not() -> None:
    shown = [caller({b"authorization": value}) for value in (b"Bearer pm_x", b"bearer  pm_x ")]
    assert [one and one.name for one in shown] == ["pm_x", "pm_x"]
    assert caller({b"authorization": b"Basic YTpi"}) is LOCAL
    assert caller({b"authorization": b"Basic YTpi"}, keys_required=True) is NOBODY
