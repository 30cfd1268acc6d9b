"""A person with a browser signs in through an OpenID Connect issuer, over HTTP from the first page to the last."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from pointsman_service.callers import CONSOLE
from pointsman_service.operate.sign_in import SessionHand
from tests.integration.access.keyed import Browser, Keyed
from tests.integration.access.test_signing_in import COOKIE, is_in
from tests.integration.spine import Spine
from tests.peers.http import Reply
from tests.peers.oidc import AUDIENCE, CLIENT, SECRET, Issuer, Key

BEGUN = "__Host-pointsman_sign_in"


@pytest.fixture
def peer() -> Iterator[Issuer]:
    with Issuer() as peer:
        yield peer


def settings_of(peer: Issuer) -> dict[str, Any]:
    return {
        "oidc_issuer": peer.url,
        "oidc_roles": {"oncall": "operator"},
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
    }


@pytest.fixture
async def keyed(keyed: Keyed, spine: Spine, peer: Issuer) -> Keyed:
    """An installation that knows the issuer, too."""
    return Keyed(spine, **settings_of(peer))


async def sent(browser: Browser, back: str = "") -> str:
    """Where the link to the issuer leads."""
    led = await browser.get(f"sign-in/issuer?back={back}")
    assert led.status_code == 303, led.text
    return led.headers["location"]


async def at_the_issuer(url: str) -> str:
    """Where the issuer sends a browser back to, below the dashboard."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.status_code == 302, answer.text
    back: str = answer.headers["location"]
    assert back.startswith("https://pointsman/admin/tasks/dashboard/sign-in/issuer/back?")
    return back.partition("/dashboard/")[2]


async def sign_in(browser: Browser, back: str = "") -> httpx.Response:
    return await browser.get(await at_the_issuer(await sent(browser, back)))


async def refused(browser: Browser, path: str) -> str:
    """What is said to who comes back and is not let in."""
    answer = await browser.get(path)
    assert answer.status_code in (401, 503), answer.text
    assert COOKIE not in browser.cookies
    return answer.text


async def test_who_signs_in_is_led_there_and_back_and_may_what_the_roles_may(keyed: Keyed, peer: Issuer) -> None:
    async with keyed.browser() as browser:
        page = await browser.get("sign-in?back=queues%2Femail")
        assert 'href="./sign-in/issuer?back=queues%2Femail"' in page.text
        assert "Sign in at 127.0.0.1" in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(await sent(browser)).query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert SECRET not in str(asked)
        back = await sign_in(browser, "queues%2Femail")
        assert (back.status_code, back.headers["location"]) == (303, "../../queues/email")
        assert BEGUN not in browser.cookies
        shown = (await browser.get("queues/email")).text
        assert "Signed in as oidc:ada. Sign out." in shown
        assert "queues/email/pause" in shown
        assert (await browser.get("keys")).status_code == 403
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        async with keyed.caller() as api:
            assert (await api.get("/v1/tasks", headers=cookie)).status_code == 401
        async with keyed.caller(browser.cookies[COOKIE]) as api:
            assert (await api.get("/v1/tasks")).status_code == 401
        await browser.post("queues/email/pause", reason="why")
        out = await browser.post("sign-out")
        assert out.status_code == 303
        assert not await is_in(browser)
    acts = await keyed.spine.rows("SELECT act, caller FROM audit ORDER BY id")
    assert [(row["act"], row["caller"]) for row in acts] == [
        ("sign_in", "oidc:ada"), ("pause_queue", "oidc:ada"), ("sign_out", "oidc:ada"),
    ]  # fmt: skip


async def test_a_session_ends_with_its_time_and_by_the_hand_of_an_admin(keyed: Keyed, peer: Issuer) -> None:
    async with keyed.browser() as timed, keyed.browser() as ended, keyed.browser() as other:
        for browser in (timed, ended):
            await sign_in(browser)
        peer.person = {"sub": "grace", "roles": ["oncall"]}
        await sign_in(other)
        first, last = await keyed.spine.rows(
            "SELECT extract(epoch FROM expires_at - now()) AS left FROM api_key LIMIT 2"
        )
        assert 0 < first["left"] <= last["left"] <= keyed.spine.settings.session_seconds
        await keyed.spine.run(
            "UPDATE api_key SET expires_at = now() WHERE id = (SELECT min(id::text)::uuid FROM api_key)"
        )
        await keyed.ring.refresh()
        assert [await is_in(one) for one in (timed, ended, other)] == [False, True, True]
        assert await SessionHand(keyed.spine.store, 60.0).end_all(CONSOLE, "oidc:ada") == 1
        await keyed.ring.refresh()
        assert [await is_in(one) for one in (timed, ended, other)] == [False, False, True]
        assert (await keyed.spine.rows("SELECT subject, caller FROM audit ORDER BY id DESC LIMIT 1")) == [
            {"subject": "oidc:ada", "caller": "console"}
        ]
        async with keyed.caller((await keyed.key("ops", preset="admin")).token) as api:
            assert [one["name"] for one in (await api.get("/v1/keys")).json()["items"]] == ["ops"]


async def test_what_comes_back_to_another_browser_or_twice_lets_nobody_in(keyed: Keyed) -> None:
    async with keyed.browser() as browser, keyed.browser() as thief, keyed.browser() as victim:
        path = await at_the_issuer(await sent(browser))
        assert "No sign-in was begun in this browser" in await refused(thief, path)
        await sent(victim)
        assert "not the sign-in that this browser began last" in await refused(victim, path)
        kept = browser.cookies[BEGUN]
        assert (await browser.get(path)).status_code == 303
        del browser.cookies[COOKIE]
        browser.cookies[BEGUN] = kept
        assert "did not take its own code: invalid_grant" in await refused(browser, path)


async def test_what_the_issuer_says_wrong_lets_nobody_in(keyed: Keyed, peer: Issuer) -> None:
    said: dict[str, tuple[dict[str, Any], str]] = {
        "another sign-in": ({"nonce": "another"}, "a token of another sign-in"),
        "another client": ({"aud": AUDIENCE}, "for another audience"),
        "a party of another client": ({"aud": [CLIENT, AUDIENCE], "azp": AUDIENCE}, "a token of another client"),
        "another issuer": ({"iss": "https://elsewhere.example"}, "of another issuer"),
        "over": ({"exp": 1}, "has expired"),
        "no roles": ({"roles": ["stranger"]}, "known as oidc:ada, and none of your roles may anything"),
        "nobody": ({"sub": None}, "does not name its caller"),
    }
    async with keyed.browser() as browser:
        for what, (peer.spoils, words) in said.items():
            assert words in await refused(browser, await at_the_issuer(await sent(browser))), what
        peer.spoils = {}
        path = await at_the_issuer(await sent(browser))
        elsewhere = path.replace(urlsplit(peer.url).netloc.replace(":", "%3A"), "elsewhere.example")
        assert "Another issuer than ours" in await refused(browser, elsewhere)
        peer.refuses = "access_denied"
        assert "lets nobody in: access_denied" in await refused(browser, await at_the_issuer(await sent(browser)))
        peer.refuses = "<script>"
        assert "it does not say why" in await refused(browser, await at_the_issuer(await sent(browser)))
        peer.refuses = None
        stranger = Key(kid=peer.keys[0].kid)
        path, shown = await at_the_issuer(await sent(browser)), peer.keys
        peer.keys = [stranger]
        assert "no token of the configured issuer" in await refused(browser, path)
        peer.keys = shown
        path = await at_the_issuer(await sent(browser))
        peer.away()
        assert "The issuer does not answer" in await refused(browser, path)
    assert await keyed.spine.rows("SELECT id FROM api_key") == []


async def test_nobody_is_led_elsewhere_than_to_a_page(keyed: Keyed) -> None:
    async with keyed.browser() as browser:
        back = await sign_in(browser, "https%3A%2F%2Felsewhere.example")
        assert (back.status_code, back.headers["location"]) == (303, "../../")


async def test_without_tls_nobody_is_sent_and_without_a_client_there_is_no_such_page(
    keyed: Keyed, spine: Spine, peer: Issuer
) -> None:
    async with keyed.browser() as browser:
        browser.client.headers["X-Forwarded-Proto"] = "http"
        assert "over TLS" in await refused(browser, "sign-in/issuer")
    assert peer.requests == []
    plain = Keyed(spine, **settings_of(peer) | {"oidc_client_id": None, "oidc_audience": (AUDIENCE,)})
    async with plain.browser() as browser:
        assert "Sign in at" not in (await browser.get("sign-in")).text
        assert [(await browser.get(f"sign-in/issuer{end}")).status_code for end in ("", "/back")] == [404, 404]


async def test_an_issuer_that_was_never_there_is_said(keyed: Keyed, peer: Issuer) -> None:
    peer.away()
    peer.on("/token", Reply(503))
    async with keyed.browser() as browser:
        answer = await browser.get("sign-in/issuer")
        assert (answer.status_code, answer.headers.get("location")) == (503, None)
        assert "does not say where one signs in" in answer.text
