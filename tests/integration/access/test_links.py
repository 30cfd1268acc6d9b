"""Signed links: who has one reads one task, no more of it than its maker may see, until it ends."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx

from pointsman_service.access.key import LINKS
from pointsman_service.access.links import Link, signed
from pointsman_service.api.tasks.links import _SHARED
from pointsman_service.callers import CONSOLE
from pointsman_service.dashboard.links import ROOT
from pointsman_service.operate.handle_keys import MadeKey
from tests.integration.access.keyed import Keyed

SECRET = "for-your-eyes"


async def made(keyed: Keyed, key: MadeKey, **more: Any) -> str:
    """The id of a task."""
    async with keyed.caller(key.token) as api:
        task = {"task_type": "mine", "args": [SECRET], "tags": {"a": SECRET}, "delay_seconds": 999} | more
        answer = await api.post("/v1/tasks", json=task)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def shared(keyed: Keyed, key: MadeKey, task: str, **wanted: Any) -> dict[str, Any]:
    async with keyed.caller(key.token) as api:
        answer = await api.post(f"/v1/tasks/{task}/links", json=wanted)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    link: dict[str, Any] = answer.json()
    return link


def sig(link: Mapping[str, str]) -> str:
    return parse_qs(urlsplit(link["url"]).query)["sig"][0]


async def opened(keyed: Keyed, url: str, method: str = "GET", **more: Any) -> httpx.Response:
    """What somebody without a key is answered."""
    async with keyed.caller() as nobody:
        return await nobody.request(method, url, **more)


async def told(keyed: Keyed, url: str) -> tuple[int, str]:
    answer = await opened(keyed, url)
    code = "" if answer.status_code == 200 else answer.json()["type"].rpartition(":")[2]
    return answer.status_code, code


async def test_a_link_opens_its_task_without_a_key_and_payloads_only_if_it_says_so(keyed: Keyed) -> None:
    key = await keyed.key("shop", preset="submitter")
    task = await made(keyed, key)
    plain, whole = await shared(keyed, key, task), await shared(keyed, key, task, payload=True)
    assert (plain["payload"], whole["payload"]) == (False, True)
    assert plain["api_url"].startswith(f"http://pointsman/v1/tasks/{task}?sig=")
    assert plain["url"].startswith(f"http://pointsman{ROOT}/shared/{task}?sig=")
    assert f"/{_SHARED}" == f"{ROOT}/shared"
    seen = await opened(keyed, plain["api_url"], headers={"Prefer": "wait=0"})
    assert (seen.status_code, seen.json()["id"], seen.json()["state"]) == (200, task, "scheduled")
    assert seen.json()["masked"] == ["args", "tags"]
    assert SECRET not in seen.text
    assert (seen.headers["referrer-policy"], seen.headers["cache-control"]) == ("no-referrer", "no-store")
    assert (await opened(keyed, whole["api_url"])).json()["args"] == [SECRET]
    assert (await opened(keyed, plain["api_url"], "HEAD")).status_code == 200
    (row,) = await keyed.spine.rows("SELECT act, subject, caller FROM audit WHERE act = 'share_task' LIMIT 1")
    assert row == {"act": "share_task", "subject": task, "caller": "shop"}


async def test_a_link_opens_nothing_else_and_changes_nothing(keyed: Keyed) -> None:
    key = await keyed.key("shop", preset="submitter")
    task, other = await made(keyed, key), await made(keyed, key)
    text = sig(await shared(keyed, key, task, payload=True))
    assert await told(keyed, f"/v1/tasks/{other}?sig={text}") == (401, "link-unknown")
    assert await told(keyed, f"/v1/tasks/{task}?sig={text[:-2]}") == (401, "link-unknown")
    assert await told(keyed, f"/v1/tasks/{task}?sig={text}&sig={text}") == (401, "link-unknown")
    for path in ("attempts", "explain", "logs"):
        assert await told(keyed, f"/v1/tasks/{task}/{path}?sig={text}") == (401, "key-missing")
    assert await told(keyed, f"/v1/tasks?sig={text}") == (401, "key-missing")
    for method, path in (("PATCH", ""), ("POST", "/cancel"), ("POST", "/links"), ("DELETE", "")):
        answer = await opened(keyed, f"/v1/tasks/{task}{path}?sig={text}", method, json={})
        assert answer.status_code in (401, 403, 405), (method, path, answer.text)
    async with keyed.browser() as browser:
        # Of two pages the first is the link's; the last is what is looked at.
        for of in (f"of=shared/{task}&of=tasks/{other}", f"of=tasks/{task}", f"of=shared/{other}"):
            assert (await browser.get(f"stream?{of}&sig={text}")).status_code == 401, of
        assert (await browser.get(f"tasks/{task}?sig={text}")).status_code == 303
        assert (await browser.get(f"shared/{other}?sig={text}")).status_code == 401
        assert (await browser.get(f"shared/{task}")).status_code == 303


async def test_a_link_is_over_in_words_when_its_time_is(keyed: Keyed) -> None:
    key = await keyed.key("shop", preset="submitter")
    task = await made(keyed, key)
    link = await shared(keyed, key, task, expires_in_seconds=60)
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    assert 50 < left.total_seconds() <= 60
    assert keyed.ring.links is not None
    old = signed(Link(UUID(task), int(time.time()) - 1, False, key.key.id), keyed.ring.links)
    answer = await opened(keyed, f"/v1/tasks/{task}?sig={old}")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:pointsman:problem:link-expired")
    assert "ask whoever gave it to you" in answer.json()["detail"]
    async with keyed.browser() as browser:
        page = await browser.get(f"shared/{task}?sig={old}")
        assert page.status_code == 410
        assert "The link has ended" in page.text
        assert "Search: id" not in page.text
    assert await told(keyed, link["api_url"]) == (200, "")
    async with keyed.caller(key.token) as api:
        for seconds in (86_401, 0, -1):
            refused = await api.post(f"/v1/tasks/{task}/links", json={"expires_in_seconds": seconds})
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/expires_in_seconds")


async def test_a_link_shows_no_more_than_its_maker_may_see_then_and_now(keyed: Keyed) -> None:
    reads = await keyed.key("reads", preset="operator", scopes=["payload:read"])
    looks = await keyed.key("looks", preset="operator")
    blind = await keyed.key("blind", scopes=["tasks:share"])
    narrow = await keyed.key("narrow", preset="submitter", queues=["email"])
    task = await made(keyed, reads)
    async with keyed.caller(looks.token) as api:
        refused = await api.post(f"/v1/tasks/{task}/links", json={"payload": True})
        assert (refused.status_code, refused.json()["scope"]) == (403, "payload:read")
    async with keyed.caller(blind.token) as api:
        refused = await api.post(f"/v1/tasks/{task}/links")
        assert (refused.status_code, refused.json()["scope"]) == (403, "tasks:read")
        assert (await api.post("/v1/tasks/0197a000-0000-7000-8000-000000000000/links")).status_code == 403
    whole, of_narrow = await shared(keyed, reads, task, payload=True), await shared(keyed, narrow, task)
    await keyed.spine.run("UPDATE api_key SET scopes = '{}' WHERE name = 'reads'")
    await keyed.spine.run("UPDATE task_live SET queue = 'reports'")
    await keyed.ring.refresh()
    seen = await opened(keyed, whole["api_url"])
    assert (seen.status_code, seen.json()["args"]) == (200, [])
    assert await told(keyed, of_narrow["api_url"]) == (403, "outside-key")
    async with keyed.browser() as browser:
        assert (await browser.get(of_narrow["url"].partition("/dashboard/")[2])).status_code == 403
        assert SECRET not in (await browser.get(whole["url"].partition("/dashboard/")[2])).text
    await keyed.hand.revoke(CONSOLE, reads.key.id, None)
    await keyed.ring.refresh()
    answer = await opened(keyed, whole["api_url"])
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:pointsman:problem:link-expired")
    assert "The key that this link was made with opens nothing more" in answer.json()["detail"]


async def test_revoking_the_key_of_links_ends_all_and_the_next_link_makes_another(keyed: Keyed) -> None:
    admin = await keyed.key("ops", preset="admin")
    task = await made(keyed, admin)
    links = [await shared(keyed, admin, task) for _ in range(2)]
    async with keyed.caller(admin.token) as api:
        (found,) = [one for one in (await api.get("/v1/keys")).json()["items"] if one["name"] == LINKS]
        assert (found["scopes"], found["state"]) == ([], "active")
        rotated = await api.post(f"/v1/keys/{found['id']}/rotate")
        assert (rotated.status_code, rotated.json()["type"]) == (409, "urn:pointsman:problem:key-not-live")
        assert (await api.post("/v1/keys", json={"name": LINKS, "preset": "viewer"})).status_code == 422
        assert keyed.ring.links is not None
        waits = asyncio.create_task(keyed.ring.until_link_ends(admin.key.id, time.time() + 60))
        assert (await api.post(f"/v1/keys/{found['id']}/revoke")).status_code == 200
        async with asyncio.timeout(5):
            await waits
    assert [await told(keyed, link["api_url"]) for link in links] == [(401, "link-unknown")] * 2
    again = await shared(keyed, admin, task)
    assert await told(keyed, again["api_url"]) == (200, "")
    assert await told(keyed, links[0]["api_url"]) == (401, "link-unknown")


async def test_links_made_at_once_are_of_one_key(keyed: Keyed) -> None:
    key = await keyed.key("shop", preset="submitter")
    task = await made(keyed, key)
    links = await asyncio.gather(*(shared(keyed, key, task) for _ in range(5)))
    await keyed.ring.refresh()
    assert {await told(keyed, link["api_url"]) for link in links} == {(200, "")}


async def test_a_stream_by_a_link_ends_with_its_time(keyed: Keyed) -> None:
    key = await keyed.key("shop", preset="submitter")
    task = await made(keyed, key)
    assert keyed.ring.links is None
    await shared(keyed, key, task)
    assert keyed.ring.links is not None
    text = signed(Link(UUID(task), int(time.time()) + 2, False, key.key.id), keyed.ring.links)
    stop = asyncio.Event()
    reading = asyncio.create_task(keyed.parts.changes.loop.run(stop))
    async with asyncio.timeout(10), keyed.caller() as nobody:
        # The transport reads an answer whole: that it is answered at all says that it ended.
        answer = await nobody.get(f"/v1/tasks/{task}/events?sig={text}")
    stop.set()
    await reading
    assert answer.status_code == 200
    assert '"state":"scheduled"' in answer.text
    assert SECRET not in answer.text


async def test_a_page_shares_a_task_and_the_link_is_a_page_without_anything_else(keyed: Keyed) -> None:
    reads = await keyed.key("reads", preset="operator", scopes=["payload:read"])
    viewer = await keyed.key("views", preset="viewer")
    task = await made(keyed, reads)
    async with keyed.browser(viewer.token) as browser:
        assert "Share" not in (await browser.get(f"tasks/{task}")).text
    async with keyed.browser(reads.token) as browser:
        assert f"tasks/{task}/share" in (await browser.get(f"tasks/{task}")).text
        assert "Make the link" in (await browser.get(f"tasks/{task}/share")).text
        answer = await browser.post(f"tasks/{task}/share", lasts="900", payload="yes", reason="asked by mail")
        assert answer.status_code == 201, answer.text
        url = answer.text.partition(f"https://pointsman{ROOT}/")[2].partition("<")[0]
    async with keyed.browser() as stranger:
        page = await stranger.get(url)
        assert page.status_code == 200, page.text
        assert page.headers.get_list("referrer-policy") == ["no-referrer"]
        assert SECRET in page.text
        assert "It waits for its time." in page.text
        for hidden in ("queues", "workers", "audit", "Search: id", "/cancel", "Share", "/share", "Sign out"):
            assert hidden not in page.text.partition("<footer")[0].replace("/dashboard/", ""), hidden
        assert f"of=shared%2F{task}&amp;seen=" in page.text
