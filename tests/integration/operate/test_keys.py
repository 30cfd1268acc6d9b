"""Keys over HTTP: made, seen, rotated, revoked; the key itself is seen once."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from pointsman_service.access.scopes import PRESETS, Preset
from pointsman_service.access.token import is_token
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import GrantsMore, KeyRevoked
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.store.store import RowRefused
from tests.integration.spine import Spine

NOBODY = "01a20272-c811-71a5-99c0-510fde22a57d"


async def made(api: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    answer = await api.post("/v1/keys", json={"name": "billing", "preset": "submitter"} | wanted)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/keys/{body['id']}"
    return body


async def test_a_key_is_shown_once_and_kept_as_its_digest(api: httpx.AsyncClient, spine: Spine) -> None:
    body = await made(api, task_types=["send_invoice"], queues=["email"], scopes=["errors:read"])
    token = body.pop("key")
    assert is_token(token.encode())
    assert body["hint"] == f"{token[:7]}…{token[-4:]}"
    assert body["scopes"] == sorted({*PRESETS[Preset.SUBMITTER], "errors:read"})
    assert (body["state"], body["task_types"], body["queues"]) == ("active", ["send_invoice"], ["email"])
    assert (await api.get(f"/v1/keys/{body['id']}")).json() == body
    assert (await api.get("/v1/keys")).json() == {"items": [body], "next_cursor": None}
    (row,) = await spine.rows("SELECT k::text AS everything, digest FROM api_key k")
    assert bytes(row["digest"]) == hashlib.sha256(token.encode()).digest()
    assert token[8:-5] not in row["everything"]


async def test_a_list_goes_by_pages(api: httpx.AsyncClient) -> None:
    ids = [(await made(api, name=f"key-{number}"))["id"] for number in range(5)]
    first = (await api.get("/v1/keys?limit=2")).json()
    second = (await api.get(f"/v1/keys?limit=2&cursor={first['next_cursor']}")).json()
    last = (await api.get(f"/v1/keys?limit=2&cursor={second['next_cursor']}")).json()
    assert [one["id"] for page in (first, second, last) for one in page["items"]] == ids[::-1]
    assert last["next_cursor"] is None


async def test_a_name_belongs_to_one_key_in_use(api: httpx.AsyncClient) -> None:
    first = await made(api)
    answer = await api.post("/v1/keys", json={"name": "billing", "preset": "viewer"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pointsman:problem:key-name-taken")
    await api.post(f"/v1/keys/{first['id']}/revoke")
    assert (await made(api))["id"] != first["id"]


async def test_a_number_that_is_no_limit_is_written_by_nobody_and_keeps_no_key_from_being_revoked(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    body = await made(api, weight=2)
    for number in ("weight = 'Infinity'", "weight = 'NaN'", "weight = 0", "quota = 0", "burst = -1"):
        with pytest.raises(RowRefused):
            await spine.run(f"UPDATE api_key SET {number}")
    await spine.run("ALTER TABLE api_key DROP CONSTRAINT ck_api_key_weight")
    await spine.run("UPDATE api_key SET weight = 'Infinity'")
    revoked = await api.post(f"/v1/keys/{body['id']}/revoke")
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    (entry,) = (await api.get("/v1/audit?act=revoke_key")).json()["items"]
    assert entry["counts"]["before"]["weight"] == "Infinity"


async def test_of_many_who_want_one_name_at_once_one_gets_it(api: httpx.AsyncClient) -> None:
    wanted = {"name": "billing", "preset": "submitter"}
    answers = await asyncio.gather(*(api.post("/v1/keys", json=wanted) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_another_key_takes_the_place_of_one(api: httpx.AsyncClient) -> None:
    old = await made(api, task_types=["send_invoice"], expires_in_seconds=86_400)
    answer = await api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 60, "reason": "each quarter"})
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert new["key"] != old["key"]
    same = ("name", "preset", "scopes", "task_types", "queues")
    assert [new[field] for field in same] == [old[field] for field in same]
    before = (await api.get(f"/v1/keys/{old['id']}")).json()
    assert (before["replaced_by"], new["replaces"]) == (new["id"], old["id"])
    assert before["expires_at"] < old["expires_at"] < new["expires_at"]
    again = await api.post(f"/v1/keys/{old['id']}/rotate")
    assert (again.status_code, again.json()["type"]) == (409, "urn:pointsman:problem:key-not-live")


async def test_without_an_overlap_the_old_key_is_over(api: httpx.AsyncClient) -> None:
    old = await made(api)
    assert (await api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 0})).status_code == 201
    assert (await api.get(f"/v1/keys/{old['id']}")).json()["state"] == "expired"


async def test_an_overlap_does_not_let_a_key_live_longer(api: httpx.AsyncClient) -> None:
    old = await made(api, expires_in_seconds=60)
    assert (await api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 3600})).status_code == 201
    assert (await api.get(f"/v1/keys/{old['id']}")).json()["expires_at"] == old["expires_at"]


async def test_a_revoked_key_stays_in_the_list_and_is_not_rotated(api: httpx.AsyncClient) -> None:
    body = await made(api)
    answer = await api.post(f"/v1/keys/{body['id']}/revoke", json={"reason": "it was in a log"})
    assert (answer.json()["state"], answer.json()["revoked_by"]) == ("revoked", "local")
    again = await api.post(f"/v1/keys/{body['id']}/revoke")
    assert again.json() == answer.json()
    assert (await api.post(f"/v1/keys/{body['id']}/rotate")).status_code == 409
    assert [one["id"] for one in (await api.get("/v1/keys")).json()["items"]] == [body["id"]]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"name": "x"}, "/preset"),
        ({"name": "x", "preset": "emperor"}, "/preset"),
        ({"name": "x", "scopes": ["tasks:dream"]}, "/scopes/0"),
        ({"name": "-", "preset": "viewer"}, "/name"),
        ({"name": "two words", "preset": "viewer"}, "/name"),
        ({"name": "x", "preset": "viewer", "task_types": []}, "/task_types"),
        ({"name": "x", "preset": "viewer", "expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"name": "x", "preset": "viewer", "digest": "00"}, "/digest"),
    ],
)
async def test_what_is_no_key_is_refused_by_its_field(
    api: httpx.AsyncClient, wanted: dict[str, Any], pointer: str
) -> None:
    answer = await api.post("/v1/keys", json=wanted)
    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (422, [pointer])
    assert (await api.get("/v1/keys")).json()["items"] == []


@pytest.mark.parametrize("act", ["", "/rotate", "/revoke"])
async def test_a_key_that_nobody_made_is_404(api: httpx.AsyncClient, act: str) -> None:
    answer = await api.request("POST" if act else "GET", f"/v1/keys/{NOBODY}{act}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:pointsman:problem:no-such-key")


async def test_nobody_gives_more_than_they_have(spine: Spine) -> None:
    hand = KeyHand(spine.store)
    scopes = frozenset({"keys:act", "tasks:read"})
    some = Caller("some", KnownBy.KEY, scopes=scopes, task_types=frozenset({"a", "b"}))
    await hand.create(some, WantedKey("fits", scopes=["tasks:read"], task_types=["a"]), None)
    for wanted in (
        WantedKey("more", scopes=["tasks:read", "tasks:submit"], task_types=["a"]),
        WantedKey("admin", preset="admin", task_types=["a"]),
        WantedKey("wider", scopes=["tasks:read"]),
        WantedKey("other", scopes=["tasks:read"], task_types=["a", "c"]),
    ):
        with pytest.raises(GrantsMore):
            await hand.create(some, wanted, None)
    whole = await hand.create(Caller("root", KnownBy.CONSOLE), WantedKey("admin", preset="admin"), None)
    with pytest.raises(GrantsMore):
        await hand.rotate(some, whole.key.id, 0, None, None)
    # The token of whom the issuer knows ends in minutes, and what they may does not.
    ada = Caller("oidc:ada", KnownBy.OIDC, scopes=scopes, key_id=whole.key.id)
    assert (await hand.create(ada, WantedKey("of-ada", scopes=["tasks:read"]), None)).key.expires_at is None
    with pytest.raises(GrantsMore):
        await hand.create(ada, WantedKey("more-of-ada", preset="admin"), None)


async def test_a_key_that_was_revoked_makes_none_where_that_is_not_yet_known(spine: Spine) -> None:
    hand = KeyHand(spine.store)
    whole = await hand.create(Caller("root", KnownBy.CONSOLE), WantedKey("admin", preset="admin"), None)
    late = Caller("admin", KnownBy.KEY, key_id=whole.key.id)
    await hand.create(late, WantedKey("before", preset="viewer"), None)
    await hand.revoke(late, whole.key.id, None)
    with pytest.raises(KeyRevoked):
        await hand.create(late, WantedKey("after", preset="viewer"), None)


async def test_each_change_has_a_higher_number_than_all_before_and_a_use_has_none(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    async def newest() -> int:
        (row,) = await spine.rows("SELECT max(revision) AS revision FROM api_key")
        return int(row["revision"])

    body = await made(api)
    first = await newest()
    await spine.run("UPDATE api_key SET last_used_at = now()")
    assert await newest() == first
    await api.post(f"/v1/keys/{body['id']}/rotate")
    second = await newest()
    await spine.run("UPDATE api_key SET scopes = '{}' WHERE replaced_by IS NOT NULL")
    assert first < second < await newest()
