import base64
import random
import zlib
from dataclasses import replace
from typing import Any

import pytest

from pointsman_service.dashboard import flash, forms, session
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
    for body in (b"reason=%FF%FE", b"reason=a%00b", b"a%00=b"):
        with pytest.raises(BadRequest):
            await read(body)


def test_cookies_are_read_and_nonsense_is_none() -> None:
    assert forms.cookies_of({"headers": [(b"cookie", b"a=1; b=2")]}) == {"a": "1", "b": "2"}
    assert forms.cookies_of({"headers": []}) == {}


@pytest.mark.parametrize(
    "other", [b'x={"a": "b"}', b"x[y]=1", b"x@y=1", b"a=b c", b"path=/", b"x", b"x=\xc3\xa9", b'x="\xff', b"="]
)
def test_a_cookie_of_another_program_does_not_hide_ours(other: bytes) -> None:
    for given in (other + b"; pointsman_form=abc", b"pointsman_form=abc; " + other):
        assert forms.cookies_of({"headers": [(b"cookie", given)]})["pointsman_form"] == "abc"
    assert session.session_in(other + b"; pointsman_session=abc", over_tls=False) == "abc"


def test_a_cookie_is_for_us_alone_and_for_tls_where_there_is_tls() -> None:
    _, plain = session.cookie("a", "1", {"scheme": "http", "headers": []})
    behind_a_proxy = {"scheme": "http", "headers": [(b"x-forwarded-proto", b"https")]}
    for scope in ({"scheme": "https"}, behind_a_proxy):
        _, tls = session.cookie("a", "1", scope, seconds=5)
        assert tls == b"__Host-a=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=5; Secure"
    assert plain == b"a=1; Path=/; HttpOnly; SameSite=Lax"


def test_over_tls_no_cookie_counts_that_a_subdomain_could_have_set() -> None:
    given = b"pointsman_form=planted; __Host-pointsman_form=ours; pointsman_done=1.planted; x=2"
    read = session.cookies_in(given, over_tls=True)
    assert (read["pointsman_form"], read.get("pointsman_done"), read["x"]) == ("ours", None, "2")
    assert session.cookies_in(given, over_tls=False)["pointsman_done"] == "1.planted"


def _random(length: int) -> str:
    drawn = random.Random(7)
    return "".join(chr(drawn.randrange(0x4E00, 0x9FA0)) for _ in range(length))


@pytest.mark.parametrize("reason", ["ä <b>", _random(500), "x" * 500])
def test_what_was_done_is_said_once_more_as_it_was_however_long_its_reason_is(reason: str) -> None:
    undo = Undo("queues/email/pause", {"back": "list", "reason": reason})
    done = Done(text=f"email is resumed: {reason}"[:600], path="queues/email", undo=undo)
    cookies = flash.packed(done)
    assert all(len(name) + len(value) < 4096 for name, value in cookies.items()), "more is dropped by browsers"
    assert flash.unpacked({**dict.fromkeys(flash.COOKIES, "of-before"), **cookies}) == done


def test_what_fits_no_cookie_is_said_without_an_undo() -> None:
    done = Done(text="The policy is set.", path="breakers", undo=Undo("a", {"expected_exception": _random(20_000)}))
    assert flash.unpacked(flash.packed(done)) == replace(done, undo=None)


_BOMB = base64.urlsafe_b64encode(zlib.compress(b'{"text": "' + b"a" * 10_000_000 + b'", "path": ""}')).decode()


@pytest.mark.parametrize("value", [None, "", "!", "1.", "1.!", "1.bnVsbA", "9.e30", "x.e30", f"1.{_BOMB}"])
def test_what_we_did_not_pack_says_nothing(value: str | None) -> None:
    assert flash.unpacked({} if value is None else {flash.COOKIES[0]: value}) is None


def test_preferences_survive_nonsense() -> None:
    assert Preferences.read("pink.<b>") == Preferences("auto", keys=True)
    assert Preferences.read(Preferences("dark", keys=False).packed) == Preferences("dark", keys=False)
    assert Preferences().changed({"theme": "pink"}) == Preferences()
    assert [Preferences(theme).next_theme for theme in ("auto", "light", "dark")] == ["light", "dark", "auto"]
