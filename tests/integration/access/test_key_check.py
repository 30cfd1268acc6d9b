"""A key that is shown: who holds it, and what is said of one that opens nothing."""

import asyncio

import httpx
import pytest

from pointsman_service.access.token import new_token
from pointsman_service.api.answers.answer import GUARDS
from pointsman_service.callers import CONSOLE
from pointsman_service.operate.handle_keys import WantedKey
from tests.integration.access.keyed import Keyed
from tests.stand.waiting import until

ASKED = "/v1/tasks"


def told(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2], answer.headers["www-authenticate"]


async def test_without_a_key_it_is_said_that_one_is_missing(keyed: Keyed) -> None:
    async with keyed.caller() as nobody:
        assert told(await nobody.get(ASKED)) == (401, "key-missing", 'Bearer realm="pointsman"')
        assert told(await nobody.post(ASKED, json={"task_type": "mine"}))[1] == "key-missing"
        basic = await nobody.get(ASKED, headers={"Authorization": "Basic YTpi"})
        assert told(basic)[1] == "key-missing"


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/", "/docs", "/openapi.json"])
async def test_what_says_nothing_of_tasks_asks_nobody(keyed: Keyed, path: str) -> None:
    async with keyed.caller() as nobody:
        assert (await nobody.get(path)).status_code in (200, 503)


@pytest.mark.parametrize("path", ["/metrics", "/readyz?verbose"])
async def test_figures_take_a_key_unless_they_are_open(keyed: Keyed, path: str) -> None:
    async with keyed.caller() as nobody:
        assert told(await nobody.get(path))[:2] == (401, "key-missing")
        keyed.parts.settings = keyed.parts.settings.model_copy(update={"metrics_open": True})
        assert (await nobody.get(path)).status_code in (200, 503)
        assert (await nobody.get("/v1/now")).status_code == 401
    keyed.parts.settings = keyed.parts.settings.model_copy(update={"metrics_open": False})
    scraper = await keyed.key("prometheus", scopes=["metrics:read"])
    async with keyed.caller(scraper.token) as asks:
        assert (await asks.get(path)).status_code in (200, 503)


async def test_a_typo_and_a_key_of_nobody_are_unknown(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    looks = keyed.ring.looks
    swapped = made.token[:10] + ("x" if made.token[10] != "x" else "y") + made.token[11:]
    for token in (swapped, new_token(), "pm_", "secret"):
        async with keyed.caller(token) as somebody:
            assert told(await somebody.get(ASKED))[:2] == (401, "key-unknown"), token
    assert keyed.ring.looks == looks


async def test_a_key_is_taken_with_any_spelling_of_the_scheme(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.caller() as client:
        for scheme in ("Bearer ", "bearer ", "BEARER  "):
            assert (await client.get(ASKED, headers={"Authorization": scheme + made.token})).status_code == 200


async def test_two_keys_in_one_request_are_refused(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.caller() as client:
        headers = [("Authorization", f"Bearer {made.token}"), ("Authorization", f"Bearer {new_token()}")]
        assert (await client.get(ASKED, headers=headers)).status_code == 400


async def test_expired_and_revoked_are_told_apart(keyed: Keyed) -> None:
    brief = await keyed.key("brief", preset="admin", expires_seconds=0.000001)
    gone = await keyed.key("gone", preset="admin")
    async with keyed.caller(gone.token) as client:
        assert (await client.get(ASKED)).status_code == 200
        await keyed.hand.revoke(CONSOLE, gone.key.id, "it leaked")
        await keyed.ring.refresh()
        assert told(await client.get(ASKED))[:2] == (401, "key-revoked")
        assert "invalid_token" in told(await client.get(ASKED))[2]
    async with keyed.caller(brief.token) as client:
        assert told(await client.get(ASKED))[:2] == (401, "key-expired")


async def test_an_answer_that_waits_is_not_given_to_a_key_that_was_revoked_meanwhile(keyed: Keyed) -> None:
    leaked, admin = await keyed.key("leaked", preset="admin"), await keyed.key("ops", preset="admin")
    async with keyed.caller(leaked.token) as thief, keyed.caller(admin.token) as ops, keyed.caller() as guest:
        ids = [
            (await ops.post("/v1/tasks", json={"task_type": "mine", "delay_seconds": 60})).json()["id"]
            for _ in range(3)
        ]
        link = (await ops.post(f"/v1/tasks/{ids[2]}/links", json={})).json()["api_url"]
        (links,) = await keyed.spine.rows("SELECT id FROM api_key WHERE name = '_links'")
        waits = {"Prefer": "wait=30"}
        asked = [
            asyncio.create_task(thief.get(f"/v1/tasks/{ids[0]}", headers=waits)),
            asyncio.create_task(thief.post("/v1/tasks", json={"task_type": "mine"}, headers=waits)),
            asyncio.create_task(ops.get(f"/v1/tasks/{ids[1]}", headers=waits)),
            asyncio.create_task(guest.get(link, headers=waits)),
        ]

        async def all_wait() -> bool:
            return len(keyed.parts.changes._watches) == len(asked)

        await until(all_wait, "all to wait")
        for key_id in (leaked.key.id, links["id"]):
            await keyed.hand.revoke(CONSOLE, key_id, "it leaked")
        await keyed.ring.refresh()
        async with asyncio.timeout(20):
            got, stored, shared = await asyncio.gather(asked[0], asked[1], asked[3])
        assert not asked[2].done(), "who asked with another key waits on"
        keyed.parts.changes.close()
        mine = await asked[2]
    assert told(got)[:2] == (401, "key-revoked")
    assert (stored.status_code, stored.json()["state"]) == (202, "queued"), "it is stored, and no more is told"
    assert mine.status_code == 200
    assert (shared.status_code, shared.json()["type"]) == (401, "urn:pointsman:problem:link-unknown")


async def test_a_rate_that_is_none_keeps_no_key_from_being_read(keyed: Keyed) -> None:
    spoiled = await keyed.key("spoiled", preset="admin", rate="5/1s")
    await keyed.spine.run("UPDATE api_key SET rate = 'fast'")
    other = await keyed.key("other", preset="admin")
    for made in (spoiled, other):
        async with keyed.caller(made.token) as client:
            assert (await client.get(ASKED)).status_code == 200


async def test_both_keys_open_during_the_overlap_and_then_the_new_one_alone(keyed: Keyed) -> None:
    old = await keyed.key("billing", preset="admin")
    new = await keyed.hand.rotate(CONSOLE, old.key.id, 3600, None, None)
    await keyed.ring.refresh()
    async with keyed.caller(old.token) as before, keyed.caller(new.token) as after:
        assert [(await one.get(ASKED)).status_code for one in (before, after)] == [200, 200]
        await keyed.spine.run("UPDATE api_key SET expires_at = now() WHERE replaced_by IS NOT NULL")
        await keyed.ring.refresh()
        assert told(await before.get(ASKED))[:2] == (401, "key-expired")
        assert (await after.get(ASKED)).status_code == 200


async def test_the_caller_is_kept_with_the_task_and_its_idempotency_keys_are_its_own(keyed: Keyed) -> None:
    one, two = [await keyed.key(name, preset="submitter") for name in ("one", "two")]
    ids = []
    for made in (one, two, one):
        async with keyed.caller(made.token) as client:
            answer = await client.post("/v1/tasks", json={"task_type": "mine"}, headers={"Idempotency-Key": "k"})
            ids.append(answer.json()["id"])
    assert (ids[0] == ids[2], ids[0] == ids[1]) == (True, False)
    rows = await keyed.spine.rows("SELECT id, caller FROM task_live")
    assert {str(row["id"]): row["caller"] for row in rows} == {ids[0]: "one", ids[1]: "two"}


async def test_who_acts_is_named_in_what_is_kept_of_it(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="operator")
    async with keyed.caller(made.token) as client:
        assert (await client.post("/v1/queues/email/pause", json={"reason": "why"})).status_code == 200
    rows = await keyed.spine.rows("SELECT actor, caller FROM audit WHERE act = 'pause_queue'")
    assert rows == [{"actor": "ops", "caller": "ops"}]


async def test_where_none_is_asked_for_a_key_counts_all_the_same(keyed: Keyed) -> None:
    lenient = Keyed(keyed.spine, required=False)
    made = await lenient.key("looks", preset="viewer")
    async with lenient.caller() as local, lenient.caller(made.token) as viewer, lenient.caller(new_token()) as wrong:
        why = {"reason": "why"}
        assert (await local.post("/v1/queues/email/pause", json=why)).status_code == 200
        assert (await viewer.post("/v1/queues/email/pause", json=why)).status_code == 403
        assert (await wrong.get("/livez")).status_code == 401


async def test_until_the_first_look_nobody_is_let_in_and_it_is_said_why(keyed: Keyed) -> None:
    made = await keyed.hand.create(CONSOLE, WantedKey("ops", preset="admin"), None)
    async with keyed.caller(made.token) as client:
        answer = await client.get(ASKED)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:pointsman:problem:database-away")
        await keyed.ring.refresh()
        assert (await client.get(ASKED)).status_code == 200


async def test_no_answer_is_taken_for_something_else_by_a_browser(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="admin")
    async with keyed.caller(made.token) as client:
        answers = [
            await client.get("/v1/tasks"),
            await client.post("/v1/tasks", json={"task_type": "mine"}),
            await client.post("/v1/tasks", content=b"{", headers={"Content-Type": "application/json"}),
            await client.get("/nothing"),
            await client.get("/docs"),
            await client.get("/admin/tasks/dashboard/help"),
        ]
    for answer in answers:
        told = {name.decode(): answer.headers.get_list(name.decode()) for name, _ in GUARDS}
        assert all(len(values) == 1 for values in told.values()), told
        assert told["x-content-type-options"] == ["nosniff"]
        assert "frame-ancestors 'none'" in told["content-security-policy"][0]
        assert told["cache-control"] == ["no-store"]
