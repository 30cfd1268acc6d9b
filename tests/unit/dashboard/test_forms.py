from typing import Any

import pytest

from pointsman_service.dashboard import flash, forms
from pointsman_service.dashboard.page import Done, Undo
from pointsman_service.dashboard.preferences import Preferences
from pointsman_service.errors import BadRequest, StaleForm, UnsupportedMediaType


def test_a_token_fits_its_cookie_alone_and_never_repeats() -> None:
    secret = forms.new_secret()
    one, two = forms.token_of(secret), forms.token_of(secret)
    assert one != two
    forms.check_token(one, secret)
    forms.check_token(two, secret)
    for token, other in [
        (one, forms.new_secret()),
        (one, None),
        (one, ""),
        ("", secret),
        ("AAAA", secret),
        ("ü", secret),
    ]:
        with pytest.raises(StaleForm):
            forms.check_token(token, other)


async def read(
    body: bytes, content_type: bytes = b"application/x-www-form-urlencoded; charset=UTF-8"
) -> dict[str, str]:
    parts = [{"type": "http.request", "body": body[:3], "more_body": True}, {"type": "http.request", "body": body[3:]}]

    async def receive() -> Any:
        return parts.pop(0)

    return await forms.read_form({"headers": [(b"content-type", content_type)]}, receive)


async def test_a_form_is_read_from_its_parts() -> None:
    assert await read(b"reason=why+n%C3%B6t&empty=&a=1&a=2") == {"reason": "why nöt", "empty": "", "a": "2"}


async def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        await read(b"{}", b"application/json")
    with pytest.raises(BadRequest):
        await read(b"&".join(b"a=1" for _ in range(300)))
    with pytest.raises(BadRequest):
        await read(b"reason=%FF%FE")


def test_cookies_are_read_and_nonsense_is_none() -> None:
    assert forms.cookies_of({"headers": [(b"cookie", b"a=1; b=2")]}) == {"a": "1", "b": "2"}
    assert forms.cookies_of({"headers": []}) == {}


def test_a_cookie_is_for_us_alone_and_for_tls_where_there_is_tls() -> None:
    _, plain = forms.cookie("a", "1", {"scheme": "http"})
    _, tls = forms.cookie("a", "1", {"scheme": "https"}, seconds=5)
    assert plain == b"a=1; Path=/; HttpOnly; SameSite=Lax"
    assert tls == b"a=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=5; Secure"


def test_what_was_done_is_said_once_more_as_it_was() -> None:
    done = Done(text="ä <b>", path="alerts", undo=Undo("alerts/1/unsilence", {"back": "list"}))
    said = flash.unpacked(flash.packed(done))
    assert said is not None
    assert (said.text, said.undo) == (done.text, done.undo)


@pytest.mark.parametrize("value", [None, "", "!", "bnVsbA", "e30", "eyJ0ZXh0IjoiYSIsInVuZG8iOls1XX0"])
def test_what_we_did_not_pack_says_nothing(value: str | None) -> None:
    assert flash.unpacked(value) is None


def test_preferences_survive_nonsense() -> None:
    assert Preferences.read("pink.<b>") == Preferences("auto", keys=True)
    assert Preferences.read(Preferences("dark", keys=False).packed) == Preferences("dark", keys=False)
    assert Preferences().changed({"theme": "pink"}) == Preferences()
    assert [Preferences(theme).next_theme for theme in ("auto", "light", "dark")] == ["light", "dark", "auto"]
