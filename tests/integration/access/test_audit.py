"""What is kept of acts: who, from where, why; that nobody changes it; and that who does all the same is found out."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_service.callers import CONSOLE
from pointsman_service.observe.audit import Verdict, verify
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.operate.pause import Pauser
from pointsman_service.store import audit
from pointsman_service.store.store import RowRefused, Store
from tests.integration.access.keyed import Keyed
from tests.integration.spine import Spine


async def acted(spine: Spine, times: int = 5) -> None:
    pauser = Pauser(spine.store, spine.broker, spine.settings)
    for number in range(times):
        await pauser.set_paused(CONSOLE, "email", paused=number % 2 == 0, reason=f"why {number} — ümläut")


async def tamper(spine: Spine, statement: str) -> None:
    """As somebody who owns the table does."""
    await spine.run("ALTER TABLE audit DISABLE TRIGGER USER")
    await spine.run(statement)
    await spine.run("ALTER TABLE audit ENABLE TRIGGER USER")


async def faults(store: Store, noted: str | None = None) -> list[str]:
    return (await verify(store, noted)).faults


async def test_an_entry_says_who_from_where_why_and_in_which_request(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="operator")
    async with keyed.caller(made.token) as api:
        answer = await api.post("/v1/queues/email/pause", json={"reason": "why"}, headers={"X-Request-ID": "mine-1"})
        assert answer.status_code == 200
        (entry,) = (await api.get("/v1/audit?act=pause_queue")).json()["items"]
    told = {name: entry[name] for name in ("act", "subject", "actor", "caller", "address", "reason", "request_id")}
    assert told == {
        "act": "pause_queue", "subject": "email", "actor": "ops", "caller": "ops", "address": "127.0.0.1",
        "reason": "why", "request_id": "mine-1",
    }  # fmt: skip
    assert len(entry["hash"]) == 64


async def test_acts_on_many_say_how_many_there_were_and_are(keyed: Keyed) -> None:
    made = await keyed.key("root", preset="admin")
    async with keyed.caller(made.token) as api:
        for _ in range(3):
            await api.post("/v1/tasks", json={"task_type": "mine", "delay_seconds": 9999})
        asked = {"expected": 3, "states": ["scheduled"], "reason": "why"}
        assert (await api.post("/v1/queues/email/purge", json=asked)).status_code == 200
        (entry,) = (await api.get("/v1/audit?act=purge_queue")).json()["items"]
    assert entry["counts"] == {"before": 3, "after": 0}


async def test_a_list_is_narrowed_and_goes_by_pages(keyed: Keyed) -> None:
    made = await keyed.key("root", preset="admin")
    async with keyed.caller(made.token) as api:
        for number in range(6):
            await api.post(f"/v1/queues/{('email', 'reports')[number % 2]}/pause", json={"reason": f"why {number}"})
            await api.post(f"/v1/queues/{('email', 'reports')[number % 2]}/resume", json={"reason": f"why {number}"})

        async def found(query: str) -> list[dict[str, Any]]:
            answer = await api.get(f"/v1/audit?{query}")
            assert answer.status_code == 200, answer.text
            items: list[dict[str, Any]] = answer.json()["items"]
            return items

        assert len(await found("subject=email")) == 6
        assert len(await found("act=pause_queue&subject=reports")) == 3
        assert len(await found("caller=root&actor=root")) == 12
        assert {one["caller"] for one in await found("act=create_key")} == {"console"}
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        assert (await found(f"after={later}"), len(await found(f"before={later}"))) == ([], 13)
        pages, cursor = [], ""
        while cursor is not None:
            page = (await api.get(f"/v1/audit?limit=5{cursor and '&cursor=' + cursor}")).json()
            pages.append([one["id"] for one in page["items"]])
            cursor = page["next_cursor"]
        ids = [one for page in pages for one in page]
        assert ([len(page) for page in pages], ids) == ([5, 5, 3], sorted(ids, reverse=True))
        assert (await api.get("/v1/audit?act=dream")).status_code == 422


async def test_nothing_that_is_kept_can_be_changed_or_removed(spine: Spine) -> None:
    await acted(spine)
    for statement in (
        "UPDATE audit SET reason = 'another'",
        "UPDATE audit SET hash = NULL",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ):
        with pytest.raises(RowRefused):
            await spine.run(statement)
    async with spine.store.transaction() as connection:
        assert await audit.leave(connection, datetime.now(UTC) - timedelta(days=8), 100) == 0
    async with spine.store.transaction() as connection:
        assert await audit.leave(connection, datetime.now(UTC) + timedelta(days=1), 100) == 0
    assert await faults(spine.store) == []


async def test_the_chain_is_whole_also_when_many_act_at_once(spine: Spine) -> None:
    hand = KeyHand(spine.store)
    await asyncio.gather(
        *(hand.create(CONSOLE, WantedKey(f"k{number}", preset="viewer"), None) for number in range(40))
    )
    found = await verify(spine.store)
    assert (found.faults, found.entries) == ([], 40)
    rows = await spine.rows("SELECT number FROM audit ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, 41))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET reason = 'another' WHERE number = 3", "entry 3 was changed: pause_queue of email at "),
        ("UPDATE audit SET actor = 'bob' WHERE number = 5", "entry 5 was changed"),
        ("UPDATE audit SET address = '' WHERE number = 1", "entry 1 was changed"),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE number = 2", "entry 2 was changed"),
        ("UPDATE audit SET counts = '{}' WHERE number = 2", "entry 2 was changed"),
        ("DELETE FROM audit WHERE number = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE number = 1", "entry 1 is missing"),
        ("DELETE FROM audit WHERE number IN (2, 3)", "entry 2 to 3 is missing"),
        ("DELETE FROM audit WHERE number >= 4", "entries 4 to 5 are missing at the end"),
        ("UPDATE audit_head SET entries = 4", "the end of the chain"),
        (
            "INSERT INTO audit (act, subject, actor, caller) VALUES ('purge_queue', E'email\\x1b[2J', 'ada', 'ada')",
            "an entry was put in beside the chain: purge_queue of email [2J at ",
        ),
        (
            "INSERT INTO audit (act, subject, actor, caller, number, hash) VALUES ('x', '', 'a', 'a', 99, '')",
            "an entry was put in beside the chain",
        ),
        (
            "INSERT INTO audit (id, act, subject, actor, caller) OVERRIDING SYSTEM VALUE VALUES (0, 'x', '', 'a', 'a')",
            "an entry was put in beside the chain",
        ),
    ],
)
async def test_what_was_changed_removed_or_put_between_is_found(spine: Spine, statement: str, said: str) -> None:
    await acted(spine)
    assert await faults(spine.store) == []
    await tamper(spine, statement)
    found = await faults(spine.store)
    assert found
    assert any(one.startswith(said) for one in found), found


async def test_a_history_that_is_written_anew_lacks_the_hash_that_was_noted(spine: Spine) -> None:
    await acted(spine)
    noted = (await verify(spine.store)).head
    assert await faults(spine.store, noted) == []
    await acted(spine)
    assert await faults(spine.store, noted) == []
    await tamper(spine, "DELETE FROM audit")
    await spine.run("UPDATE audit_head SET entries = 0, hash = ''")
    await acted(spine, 10)
    assert await faults(spine.store) == []
    assert await faults(spine.store, noted) == ["no entry has the hash that was noted"]


async def test_what_leaves_by_age_leaves_from_the_front_and_the_rest_is_a_chain(spine: Spine) -> None:
    for age in (400, 390, 1, 380, 0):
        await spine.run(
            f"INSERT INTO audit (at, act, subject, actor, caller) VALUES (now() - interval '{age} days', 'x', '{age}',"
            " 'a', 'c')"
        )
    before = datetime.now(UTC) - timedelta(days=366)
    async with spine.store.transaction() as connection:
        assert await audit.leave(connection, before, 100) == 2
        assert await audit.leave(connection, before, 100) == 0
    found = await verify(spine.store)
    assert (found.faults, found.entries) == ([], 3)
    await acted(spine, 2)
    assert await faults(spine.store) == []
    await tamper(spine, "DELETE FROM audit WHERE number = 3")
    assert await faults(spine.store) == ["entry 3 is missing"]


async def test_entries_of_before_the_chain_are_shown_and_not_looked_through(spine: Spine) -> None:
    await tamper(
        spine, "INSERT INTO audit (act, subject, actor, caller) VALUES ('pause_queue', 'email', 'ada', 'local')"
    )
    await acted(spine, 1)
    found = await verify(spine.store)
    assert (found.entries, found.faults) == (1, [])


async def test_without_any_entry_all_is_well(store: Store) -> None:
    assert await verify(store) == Verdict(head="", role="app", role_may=("is a superuser",))


async def test_a_task_s_own_acts_are_found_by_its_id(keyed: Keyed) -> None:
    made = await keyed.key("ops", preset="operator")
    async with keyed.caller(made.token) as api:
        body = {"task_type": "mine", "delay_seconds": 99}
        task = (await api.post("/v1/tasks", json=body)).json()["id"]
        await api.patch(f"/v1/tasks/{task}", json={"priority": 1})
        await api.post(f"/v1/tasks/{task}/cancel")
        entries = (await api.get(f"/v1/audit?subject={uuid.UUID(task)}")).json()["items"]
    assert [entry["act"] for entry in entries] == ["cancel_task", "change_task"]
