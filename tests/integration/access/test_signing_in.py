"""A person with a browser: signs in with a key, sees what that may, signs out; and what ends a session."""

import asyncio
import re

import pytest

from pointsman_service.access.token import new_token
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard import flash
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.page import Done
from pointsman_service.front.callers import KnownCallers
from pointsman_service.operate import sign_in
from pointsman_service.settings import Settings
from tests.integration.access.keyed import Browser, Keyed
from tests.integration.access.test_masking import SECRET, World, world

__all__ = ["world"]

COOKIE = "__Host-pointsman_session"
DONE = flash.packed(Done(text="Ada paused email", path=""))


async def is_in(browser: Browser) -> bool:
    answer = await browser.get("queues")
    assert answer.status_code in (200, 303), answer.text
    return answer.status_code == 200


async def test_who_is_not_signed_in_is_led_there_and_back(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser() as browser:
        led = await browser.get("queues/email?window=day")
        assert (led.status_code, led.headers["location"]) == (303, "../sign-in?back=queues%2Femail%3Fwindow%3Dday")
        page = await browser.get("sign-in?back=queues%2Femail%3Fwindow%3Dday")
        assert 'type="password"' in page.text
        assert 'action="./sign-in?back=queues%2Femail%3Fwindow%3Dday"' in page.text
        back = await browser.sign_in(made.token, "queues%2Femail%3Fwindow%3Dday")
        assert (back.status_code, back.headers["location"]) == (303, "./queues/email?window=day")
        assert "Signed in as ops. Sign out." in (await browser.get("queues/email?window=day")).text


async def test_what_is_no_page_asks_for_a_key_in_words(keyed: Keyed) -> None:
    async with keyed.browser() as browser:
        assert (await browser.get("stream?of=queues")).status_code == 401
        assert (await browser.post("queues/email/pause", reason="x")).status_code == 401
        assert (await browser.get("static/nothing")).status_code == 404


async def test_what_was_done_is_told_to_nobody_who_is_not_signed_in(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser(made.token) as browser:
        browser.cookies |= {f"__Host-{one}": value for one, value in DONE.items()}
        assert "Ada paused email" not in (await browser.get("sign-in")).text
        await browser.post("sign-out")
        assert not [one for one in browser.cookies if "pointsman_done" in one]
    async with keyed.browser(made.token) as browser:
        browser.cookies |= {f"__Host-{one}": value for one, value in DONE.items()}
        assert "Ada paused email" in (await browser.get("")).text
    async with keyed.browser(made.token) as browser:
        # A page of a subdomain can set these.
        browser.cookies |= DONE
        assert "Ada paused email" not in (await browser.get("")).text


async def test_the_cookie_is_for_this_host_over_tls_and_for_no_script(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser() as browser:
        answer = await browser.sign_in(made.token)
        (line,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith(COOKIE)]
        assert re.fullmatch(rf"{COOKIE}=[\w-]{{43}}; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800; Secure", line), line
        assert made.token not in answer.text + str(answer.headers)
    async with keyed.browser(url="http://localhost") as browser:
        del browser.client.headers["X-Forwarded-Proto"]
        answer = await browser.sign_in(made.token)
        (line,) = [one for one in answer.headers.get_list("set-cookie") if "session" in one]
        assert line.startswith("pointsman_session=")
        assert "Secure" not in line
        assert await is_in(browser)
    async with keyed.browser() as victim:
        # A page of a subdomain can set that one over TLS, too: nobody goes on as somebody else by it.
        victim.cookies = dict(browser.cookies)
        assert not await is_in(victim)


async def test_without_tls_nobody_is_asked_to_type_a_key(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser() as browser:
        del browser.client.headers["X-Forwarded-Proto"]
        page = await browser.get("sign-in")
        assert "typed over TLS" in page.text
        assert 'name="key"' not in page.text
        token = await browser.client.post("sign-in", data={"key": made.token})
        assert token.status_code == 403
        assert not await is_in(browser)


@pytest.mark.parametrize("key", ["", "secret", "pm_", new_token(), "ключ"])
async def test_what_is_no_key_is_said_and_opens_nothing(keyed: Keyed, key: str) -> None:
    await keyed.ring.refresh()
    async with keyed.browser() as browser:
        answer = await browser.sign_in(key)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert COOKIE not in browser.cookies
        assert len(key) < 20 or key not in answer.text


async def test_a_form_of_another_site_signs_nobody_in(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser() as browser:
        assert (await browser.client.post("sign-in", data={"key": made.token})).status_code == 403
        form = {"key": made.token, "token": await browser.token()}
        crossed = await browser.client.post("sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert crossed.status_code == 403
        assert (await browser.client.post("sign-out")).status_code == 401


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/", "../../..", "\\evil", "stream", "sign-in"])
async def test_signing_in_leads_to_no_other_place(keyed: Keyed, back: str) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser() as browser:
        answer = await browser.sign_in(made.token, back)
        assert (answer.status_code, answer.headers["location"]) == (303, "./")


async def test_a_session_opens_pages_and_nothing_else(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser(made.token) as browser:
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        async with keyed.caller() as api:
            assert (await api.get("/v1/tasks", headers=cookie)).status_code == 401
        async with keyed.caller(browser.cookies[COOKIE]) as api:
            answer = await api.get("/v1/tasks")
            assert (answer.status_code, answer.json()["type"]) == (401, "urn:pointsman:problem:key-unknown")
        async with keyed.caller(made.token) as api:
            assert [one["name"] for one in (await api.get("/v1/keys")).json()["items"]] == ["ops"]
    rows = await keyed.spine.rows("SELECT k::text AS everything FROM api_key k WHERE session_of IS NOT NULL")
    assert len(rows) == 1
    assert browser.cookies[COOKIE] not in rows[0]["everything"]


async def test_who_signs_out_is_out_wherever_the_cookie_was_copied_to(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser(made.token) as browser, keyed.browser() as thief, keyed.browser(made.token) as other:
        thief.cookies = dict(browser.cookies)
        assert await is_in(thief)
        # A proxy asks for a password of its own, and passes it on.
        fields = {key.lower().encode(): value.encode() for key, value in browser._cookies().items()}
        fields |= {b"authorization": b"Basic eDp4", b"x-forwarded-proto": b"https"}
        callers = KnownCallers(keyed.ring, Settings(keys_required=True))
        caller = callers.of(fields, f"{ROOT}/stream")
        assert caller is not None
        stream = asyncio.create_task(callers.until_it_ends(caller, fields, f"{ROOT}/stream"))
        token = re.search(r'name="token" value="([^"]+)"', (await browser.get("help")).text)
        assert token is not None
        out = await browser.client.post("sign-out", data={"token": token[1]}, headers=browser._cookies())
        assert (out.status_code, out.headers["location"]) == (303, "./sign-in")
        assert all("Max-Age=0" in line for line in out.headers.get_list("set-cookie"))
        assert [await is_in(one) for one in (browser, thief, other)] == [False, False, True]
        async with asyncio.timeout(30):
            await stream
    acts = await keyed.spine.rows("SELECT act, caller FROM audit WHERE act LIKE 'sign%' ORDER BY id")
    assert [row["act"] for row in acts] == ["sign_in", "sign_in", "sign_out"]


async def test_who_signs_in_again_and_again_keeps_the_newest_sessions(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "MOST_SESSIONS", 2)
    made, others = await keyed.key("ops", preset="admin"), await keyed.key("others", preset="admin")
    async with (
        keyed.browser(others.token) as other,
        keyed.browser(made.token) as first,
        keyed.browser(made.token) as second,
        keyed.browser(made.token) as third,
    ):
        assert [await is_in(one) for one in (other, first, second, third)] == [True, False, True, True]


async def test_a_session_ends_with_its_time_and_with_its_key(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    brief = await keyed.key("brief", preset="admin")
    async with keyed.browser(made.token) as timed, keyed.browser(brief.token) as revoked:
        assert await is_in(timed)
        await keyed.spine.run("UPDATE api_key SET expires_at = now() WHERE session_of = :key", key=made.key.id)
        await keyed.hand.revoke(CONSOLE, brief.key.id, None)
        await keyed.ring.refresh()
        assert [await is_in(one) for one in (timed, revoked)] == [False, False]


async def test_pages_and_buttons_are_those_of_the_key(keyed: Keyed) -> None:
    viewer = await keyed.key("looks", preset="viewer")
    narrow = await keyed.key("narrow", preset="admin", task_types=["mine"])
    async with keyed.browser(viewer.token) as browser:
        page = (await browser.get("queues/email")).text
        assert "queues/email/pause" not in page
        assert 'href="../keys"' not in page
        for path in ("keys", "audit"):
            refused = await browser.get(path)
            assert refused.status_code == 403
            assert "lacks the scope" in refused.text
        token = re.search(r'name="token" value="([^"]+)"', page)
        assert token is not None
        form = {"token": token[1], "reason": "why"}
        acted = await browser.client.post("queues/email/pause", data=form, headers=browser._cookies())
        assert acted.status_code == 403
    async with keyed.browser(narrow.token) as browser:
        assert (await browser.get("queues")).status_code == 403
        assert (await browser.get("")).status_code == 403
    submits = await keyed.key("submits", preset="submitter")
    async with keyed.browser(submits.token) as browser:
        # It may not see how everything goes: where it begins is what it may see.
        begun = await browser.get("")
        assert (begun.status_code, begun.headers["location"]) == (303, "./tasks")
        assert (await browser.get("tasks")).status_code == 200


async def test_a_key_is_made_on_its_page_and_shown_once(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.browser(made.token) as browser:
        fields = {"name": "billing", "preset": "submitter", "task_types": "mine, theirs", "lasts": "90"}
        answer = await browser.client.post(
            "keys/create", data=fields | {"token": await browser.token()}, headers=browser._cookies()
        )
        assert answer.status_code == 201, answer.text
        (token,) = set(re.findall(r"pm_[0-9A-Za-z]{38}", answer.text))
        listed = (await browser.get("keys")).text
        assert token not in listed
        assert "mine, theirs" in listed
        async with keyed.caller(token) as api:
            assert (await api.get("/v1/tasks?task_type=mine")).status_code == 200
        audit = (await browser.get("audit?act=create_key&caller=ops")).text
        assert "A key" in audit
        assert "was made" in audit


async def test_pages_mask_payloads_for_who_may_not_see_them(keyed: Keyed, world: World) -> None:
    paths = [
        "",
        "tasks",
        "errors",
        "breakers",
        "alerts",
        "queues",
        "queues/email",
        "queues/set-aside/messages",
        "types",
    ]
    paths += ["breakers/dependency/bank", f"errors/{world.group}", f"tasks/acts/{world.act}", "tasks/acts", "workers"]
    paths += [f"tasks/{one}" for one in (world.failed, world.succeeded, world.held)]
    paths += [f"tasks/{world.failed}/logs", f"tasks/{world.failed}/again", *(f"alerts/{one}" for one in world.alerts)]
    paths += [f"search?q={SECRET}", "tasks/many/cancel?queue=email"]
    shown: dict[str, set[str]] = {}
    for name, scopes in (("reads", ["payload:read"]), ("looks", [])):
        made = await keyed.key(name, preset="operator", scopes=scopes)
        async with keyed.browser(made.token) as browser:
            pages = {path: await browser.get(path) for path in paths}
        assert {page.status_code for page in pages.values()} <= {200, 403, 404}
        shown[name] = {
            path
            for path, page in pages.items()
            if SECRET in page.text.replace(f"q={SECRET}", "").replace(f'value="{SECRET}"', "")
        }
    assert len(shown["reads"]) > 12, shown["reads"]
    assert shown["looks"] - {f"search?q={SECRET}"} == set()


async def test_the_root_of_the_dashboard_is_where_the_cookie_leads(keyed: Keyed) -> None:
    async with keyed.caller() as nobody:
        assert (await nobody.get(f"{ROOT}/queues")).status_code == 303


async def test_who_revokes_a_key_is_told_of_the_one_that_goes_on_beside_it(keyed: Keyed) -> None:
    ops = await keyed.key("ops", preset="admin")
    old = await keyed.key("billing", preset="submitter", quota=7, weight=2.5)
    new = await keyed.hand.rotate(CONSOLE, old.key.id, 3600.0, None, None)
    async with keyed.browser(ops.token) as browser:
        page = (await browser.get(f"keys/{new.key.id}")).text
        assert re.search(rf">{re.escape(old.key.hint)}</a>, active until", page), page
        assert f">{new.key.hint}</a>, active" in (await browser.get(f"keys/{old.key.id}")).text
        assert (await browser.get("keys")).text.count("as set for all, 7 waiting, weight 2.5") == 2
        for key_id, goes_on in ((new.key.id, True), (old.key.id, False)):
            form = {"reason": "they left", "typed": "billing"}
            assert (await browser.post(f"keys/{key_id}/revoke", **form)).status_code == 303
            told = (await browser.get(f"keys/{key_id}")).text
            assert "opens nothing more." in told
            assert (f"({old.key.hint}) still does what it did" in told) is goes_on
