"""The dashboard over servers that are away: what it refuses, and what it says."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pointsman_service.app.application import create_app
from pointsman_service.app.process import Role
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.dashboard import flash
from pointsman_service.dashboard.assets import assets
from pointsman_service.dashboard.links import ROOT
from pointsman_service.dashboard.page import Done
from pointsman_service.operate.act import ActKind
from pointsman_service.settings import Settings

ACT = f"{ROOT}/alerts/01a20272-c811-71a5-99c0-510fde22a57d/silence"


@pytest.fixture(scope="module")
def door() -> Any:
    settings = Settings(
        database_url=SecretStr("postgresql+asyncpg://app@/postgres?host=/nowhere"),
        redis_url=SecretStr("redis://127.0.0.1:1/0"),
        allowed_hosts=("pointsman",),
    )
    return create_app(settings, [Role.API])


@pytest.fixture
async def site(door: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://pointsman") as client:
        yield client


async def token_from(site: httpx.AsyncClient) -> str:
    found = re.search(r'name="token" value="([^"]+)"', (await site.get(f"{ROOT}/help")).text)
    assert found is not None
    return found[1]


async def test_the_root_says_where_things_are_to_people_and_to_programs(site: httpx.AsyncClient) -> None:
    page = await site.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for link in ("admin/tasks/dashboard/", "docs", "readyz?verbose", "metrics"):
        assert f'href="{link}"' in page.text
    told = await site.get("/", headers={"Accept": "*/*"})
    assert told.json()["dashboard"] == f"{ROOT}/"
    assert "accept" in page.headers["vary"].lower()
    assert "accept" in told.headers["vary"].lower()


async def test_without_its_slash_it_leads_to_it_whatever_stands_before(site: httpx.AsyncClient) -> None:
    answer = await site.get(ROOT)
    assert (answer.status_code, answer.headers["location"]) == (308, "dashboard/")


async def test_every_page_is_locked_down(site: httpx.AsyncClient) -> None:
    for path in ("help", "search", "alerts", "nothing"):
        one, two = await site.get(f"{ROOT}/{path}"), await site.get(f"{ROOT}/{path}")
        policy = one.headers["content-security-policy"]
        nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
        assert nonce is not None
        assert policy != two.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cross-origin-opener-policy"] == "same-origin"
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["x-request-id"]
        assert set(re.findall(r'<script nonce="([^"]*)"', one.text)) == {nonce[1]}
        assert re.findall(r"<script(?! nonce)|<style|\sstyle=|\son\w+=|javascript:", one.text) == []


async def test_a_page_travels_packed_to_who_reads_that(site: httpx.AsyncClient) -> None:
    packed = await site.get(f"{ROOT}/help", headers={"Accept-Encoding": "br, gzip"})
    plain = await site.get(f"{ROOT}/help", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


async def test_static_files_are_served_as_they_are_named(site: httpx.AsyncClient) -> None:
    for asset in assets().values():
        answer = await site.get(f"{ROOT}/{asset.path}", headers={"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.content) == (200, asset.content)
    assert (await site.get(f"{ROOT}/static/0/dashboard.css")).status_code == 404


async def test_what_is_not_there_is_a_page_that_says_so(site: httpx.AsyncClient) -> None:
    answer = await site.get(f"{ROOT}/nothing/here")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in answer.text
    assert 'href="../alerts"' in answer.text


async def test_a_name_that_is_not_ours_is_refused_with_a_page(site: httpx.AsyncClient) -> None:
    answer = await site.get(f"{ROOT}/alerts", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["content-type"]) == (421, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [("alerts", "POST", "GET, HEAD, OPTIONS"), ("alerts", "DELETE", "GET, HEAD, OPTIONS")],
)
async def test_a_wrong_method_names_the_right_ones(site: httpx.AsyncClient, path: str, method: str, allow: str) -> None:
    answer = await site.request(method, f"{ROOT}/{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert (await site.options(ACT)).headers["allow"] == "OPTIONS, POST"


async def test_a_tab_that_comes_back_to_where_a_form_was_sent_sees_the_page_that_it_was_on(
    site: httpx.AsyncClient,
) -> None:
    answer = await site.get(ACT)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "../../alerts/01a20272-c811-71a5-99c0-510fde22a57d",
    )
    assert "set-cookie" not in answer.headers


async def test_what_was_typed_can_be_sent_again_when_nothing_answers_and_is_never_sent_by_itself(
    site: httpx.AsyncClient,
) -> None:
    form = {"token": await token_from(site), "seconds": "60", "reason": "they <b>move</b>"}
    answer = await site.post(ACT, data=form)
    assert answer.status_code == 503
    assert '<input type="hidden" name="reason" value="they &lt;b&gt;move&lt;/b&gt;">' in answer.text
    assert "Send it again" in answer.text
    assert "data-again-seconds" not in answer.text
    assert f'value="{form["token"]}"' not in answer.text
    assert 'href="../../alerts/01a20272-c811-71a5-99c0-510fde22a57d">Back to where that was' in answer.text


async def test_a_parameter_with_a_nul_is_refused_and_not_left_out(site: httpx.AsyncClient) -> None:
    assert (await site.get(f"{ROOT}/tasks/many/cancel?state=queued&queue=em%00ail")).status_code == 400
    assert (await site.get(f"{ROOT}/queues/em%00ail")).status_code == 404


async def test_what_was_done_is_said_by_the_page_that_it_leads_to_and_by_no_other_tab(site: httpx.AsyncClient) -> None:
    said = flash.packed(Done(text="The queue is paused.", path="help?a=1"))
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in said.items())}
    other, page = [await site.get(f"{ROOT}/{path}", headers=cookie) for path in ("search", "help")]
    assert "The queue is paused." not in other.text
    assert not [one for one in other.headers.get_list("set-cookie") if "Max-Age=0" in one]
    assert "The queue is paused." in page.text


async def test_without_postgresql_a_page_is_still_a_page_and_says_what_is_known(site: httpx.AsyncClient) -> None:
    answer = await site.get(f"{ROOT}/alerts")
    assert answer.status_code == 503
    assert "PostgreSQL is away" in answer.text
    assert "the broker is away" in answer.text
    assert '<nav class="pages"' in answer.text
    assert "data-again-seconds" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_form_of_another_site_is_refused_though_it_has_the_token(
    site: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    form = {"token": await token_from(site), "theme": "dark"}
    answer = await site.post(f"{ROOT}/preferences", data=form, headers=headers)
    assert (answer.status_code, "pointsman_view" in answer.cookies) == (403, False)
    assert (await site.post(f"{ROOT}/preferences", data=form)).status_code == 303


@pytest.mark.parametrize("token", [None, "", "AAAA", "x" * 44])
async def test_a_form_without_our_token_is_refused(site: httpx.AsyncClient, token: str | None) -> None:
    await token_from(site)
    form = {"seconds": "60"} | ({} if token is None else {"token": token})
    answer = await site.post(ACT, data=form)
    assert answer.status_code == 403
    assert "load the page again" in answer.text


async def test_a_token_is_of_one_browser_alone(site: httpx.AsyncClient) -> None:
    token = await token_from(site)
    site.cookies.clear()
    assert (await site.post(f"{ROOT}/preferences", data={"token": token})).status_code == 403


async def test_who_lacks_the_right_is_refused_by_the_server(
    site: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await token_from(site)
    looker = Caller("looker", KnownBy.ADDRESS, acts=frozenset({str(ActKind.ACKNOWLEDGE)}))
    monkeypatch.setattr("pointsman_service.front.callers.LOCAL", looker)
    answer = await site.post(ACT, data={"token": token, "seconds": "60"})
    assert answer.status_code == 403
    assert "The key lacks the scope alerts:act, which this takes." in answer.text


async def test_preferences_are_kept_and_lead_back(site: httpx.AsyncClient) -> None:
    form = {"token": await token_from(site), "theme": "dark", "keys": "off", "back": "help"}
    answer = await site.post(f"{ROOT}/preferences", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "./help")
    page = (await site.get(f"{ROOT}/help")).text
    assert 'data-theme="dark"' in page
    assert 'data-keys="off"' in page


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/", "../../..", "\\evil", "stream"])
async def test_nobody_is_led_out_of_the_dashboard(site: httpx.AsyncClient, back: str) -> None:
    answer = await site.post(f"{ROOT}/preferences", data={"token": await token_from(site), "back": back})
    assert answer.headers["location"] == "./"


async def test_what_a_cookie_says_was_done_is_text(site: httpx.AsyncClient) -> None:
    (name,) = said = flash.packed(Done(text="<script>alert(1)</script>", path="help"))
    page = await site.get(f"{ROOT}/help", headers={"Cookie": f"{name}={said[name]}"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert f"{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0" in page.headers.get_list("set-cookie")
