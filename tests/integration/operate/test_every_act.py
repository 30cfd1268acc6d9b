"""Whatever the API can do to what is stored, but submit, is an act: who, what, to what and why pass one place, in the
transaction that does it.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.callers import LOCAL
from pointsman_service.errors import DatabaseAway
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.operate import act as acts
from pointsman_service.operate.act import Act, ActKind
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.alerts import alerts
from pointsman_service.store.alerts.alerts import NewAlert
from pointsman_service.store.errors import folding
from pointsman_service.store.errors.noting import note
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.reported import End, Moved
from pointsman_service.store.store import Connection, DatabaseTrouble, Store
from pointsman_service.store.workers import catalogue
from tests.integration.operate.ended import ended
from tests.integration.read.conftest import application, fronted
from tests.integration.reconcile.test_outliers import lives
from tests.integration.spine import Spine
from tests.unit.alert.words import webhook
from tests.unit.front.asking import operations

SUBMISSIONS = {"submit_task", "submit_batch", "validate_task"}
"""They make tasks, or nothing: the caller is kept with each task."""
WHY = "because"
WORKER = "w@h"
SMTP, BARELY, TRIED = "dependency/smtp", "dependency/barely", "dependency/tried"
NO_REASON = {ActKind.REPORT, ActKind.LEASE}
"""What programs do at each of their calls."""
NOW = datetime.now(UTC)
GROUP = group_of("noop", "OSError", "no", "")
NOT_STORED = {ActKind.DISCARD}
"""What is discarded is in Redis."""


def was(before: Any, after: Any, **beside: Any) -> dict[str, Any]:
    return {"before": before, "after": after, **beside}


VIEWER = {"preset": "viewer"}
COUNTS = {
    ActKind.PAUSE: was("running", "paused"),
    ActKind.RESUME: was("paused", "running"),
    ActKind.CHANGE: was({"priority": 7}, {"priority": 1}),
    ActKind.CANCEL: was("scheduled", "cancelled"),
    ActKind.PURGE: was(1, 0),
    ActKind.RETRY: was("failed", "run again"),
    ActKind.SHARE: was(None, {"payload": False, "seconds": 3600.0}),
    ActKind.CANCEL_MANY: was(1, 0, is_least=False),
    ActKind.RETRY_MANY: was(0, 0, is_least=False),
    ActKind.STOP_MANY: was("walking", "done", tasks=1),
    ActKind.UNDO_MANY: was("done", "undoing", tasks=0),
    ActKind.REPLAY: was(1, 0, tasks=1),
    ActKind.UNDO_REPLAY: was("done", "undoing", tasks=1),
    ActKind.DISCARD: was(1, 0),
    ActKind.EJECT: was("closed", "forced_open"),
    ActKind.ADMIT: was("forced_open", "closed"),
    ActKind.SET_POLICY: was({"own": False, "failure_threshold": 5}, {"own": True, "failure_threshold": 9}),
    ActKind.UNSET_POLICY: was({"own": True, "failure_threshold": 9}, {"own": False, "failure_threshold": 5}),
    ActKind.RESET: was("disabled", "closed"),
    ActKind.PROBE: was("open", "half_open"),
    ActKind.FORCE_OPEN: was("closed", "forced_open"),
    ActKind.FORCE_CLOSED: was("forced_open", "closed"),
    ActKind.DISABLE: was("closed", "disabled"),
    ActKind.ACKNOWLEDGE: was("open", "acknowledged"),
    ActKind.UNACKNOWLEDGE: was("acknowledged", "open"),
    ActKind.SILENCE: was(0, 1),
    ActKind.UNSILENCE: was(1, 0),
    ActKind.RESOLVE_ERROR: was("open", "resolved"),
    ActKind.REOPEN_ERROR: was("resolved", "open"),
    ActKind.IGNORE_ERROR: was("open", "ignored"),
    ActKind.CREATE_KEY: was(None, VIEWER),
    ActKind.LIMIT_KEY: was(None, {"rate": "100/60s"}, name="old"),
    ActKind.ROTATE_KEY: was(1, 2, name="old"),
    ActKind.REVOKE_KEY: was(VIEWER, None, name="leaked"),
}
"""What is written down of each deed below, in their order."""


class Deed(NamedTuple):
    """A request that changes something."""

    method: str
    path: str
    body: dict[str, Any]
    subject: str | None = None
    """None: made by the act."""


class World(NamedTuple):
    """An installation in which every act has something to act on."""

    spine: Spine
    api: httpx.AsyncClient
    deeds: dict[ActKind, Deed]

    async def do(self, kind: ActKind) -> httpx.Response:
        """Ask for it, with the reason where one is taken."""
        method, path, body, _ = self.deeds[kind]
        if method == "DELETE":
            return await self.api.delete(f"{path}?reason={WHY}")
        reason = {} if kind in NO_REASON else {"reason": WHY}
        return await self.api.request(method, path, json=body | reason)

    async def digest(self) -> str:
        """Of every row there is."""
        tables = await self.spine.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
        every = " UNION ALL ".join(
            f"SELECT '{table['name']}' || t::text AS row FROM {table['name']} t" for table in tables
        )
        (found,) = await self.spine.rows(f"SELECT md5(string_agg(row, '|' ORDER BY row)) AS digest FROM ({every}) AS e")
        return str(found["digest"])


@pytest.fixture
async def world(store: Store, redis_server: RedisServer, settings: Settings) -> AsyncIterator[World]:
    channel = webhook(name="on-call")
    spine = Spine(store, redis_server, settings.model_copy(update={"alert_channels": (channel,)}))
    await spine.open_epoch()
    await lives(spine, WORKER)
    transport = httpx.ASGITransport(fronted(application(spine)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as api:
        yield World(spine, api, await _deeds(spine, api))
    await spine.commits.drain()


async def _deeds(spine: Spine, api: httpx.AsyncClient) -> dict[ActKind, Deed]:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=30)])
    queues = ("email", "reports", "critical", "external_api")
    later = [{"task_type": "noop", "delay_seconds": 9999, "queue": queue} for queue in queues]
    made = (await api.post("/v1/tasks/batch", json={"tasks": later})).json()["results"]
    waiting = made[0]["task"]["id"]
    failed = await ended(spine, error_type="OSError")
    await ended(spine, error_type="KeyError")
    await ended(spine, error_type="TypeError")
    replay = (await api.post("/v1/dead-letters/replay", json={"error_type": "TypeError"})).json()["replay_id"]
    many = (await api.post("/v1/tasks/retry", json={"queue": "email"})).json()["id"]
    slow = (await api.post("/v1/tasks/cancel", json={"queue": "critical", "rate_per_second": 0.001})).json()["id"]
    async with spine.store.statement() as connection:
        new = NewAlert("k", "breaker_open", "dependency:smtp", "ticket", "s", 1, 1, "", "/v1/breakers", time.time())
        alert = str((await alerts.open_new(connection, [new]))[0].id)
    barely = {"failure_threshold": 1, "recovery_timeout": 0.001, "recovery_jitter": 0}
    await api.put(f"/v1/breakers/{BARELY}", json=barely)
    await api.post(f"/v1/breakers/{BARELY}/outcomes", json={"outcomes": [{"outcome": "failure"}]})
    await api.put(f"/v1/breakers/{TRIED}", json={"failure_threshold": 1})
    await api.post(f"/v1/breakers/{TRIED}/outcomes", json={"outcomes": [{"outcome": "failure"}]})
    await api.post(f"/v1/breakers/{SMTP}/disable", json={"reason": "first", "new": True})
    await spine.server.command("XADD", keys.SET_ASIDE, "1-1", "queue", "email")
    old, leaked = [
        (await api.post("/v1/keys", json={"name": name, "preset": "viewer"})).json()["id"] for name in ("old", "leaked")
    ]
    smtp, failure = "dependency:smtp", {"outcomes": [{"outcome": "failure"}]}
    breaker = f"/v1/breakers/{SMTP}"
    async with spine.store.transaction() as connection:
        end = End(failed, 1, "failed", NOW, NOW, "w", 0.1, None, "OSError", "no", "", error_group=GROUP)
        await note(connection, Ends([Ended(Moved(failed, "noop", "maintenance", False, 1, None, None, "failed"), end)]))
        await folding.fold(connection, 10)
    return {
        ActKind.PAUSE: Deed("POST", "/v1/queues/email/pause", {}, "email"),
        ActKind.RESUME: Deed("POST", "/v1/queues/email/resume", {}, "email"),
        ActKind.CHANGE: Deed("PATCH", f"/v1/tasks/{waiting}", {"priority": 1}, waiting),
        ActKind.SHARE: Deed("POST", f"/v1/tasks/{waiting}/links", {}, waiting),
        ActKind.CANCEL: Deed("POST", f"/v1/tasks/{waiting}/cancel", {}, waiting),
        ActKind.PURGE: Deed("POST", "/v1/queues/reports/purge", {"expected": 1, "states": ["scheduled"]}, "reports"),
        ActKind.RETRY: Deed("POST", f"/v1/tasks/{failed}/retry", {}, failed),
        ActKind.CANCEL_MANY: Deed("POST", "/v1/tasks/cancel", {"queue": "external_api"}),
        ActKind.RETRY_MANY: Deed("POST", "/v1/tasks/retry", {"queue": "maintenance", "error_type": "EOFError"}),
        ActKind.STOP_MANY: Deed("POST", f"/v1/task-acts/{slow}/stop", {}, slow),
        ActKind.UNDO_MANY: Deed("POST", f"/v1/task-acts/{many}/undo", {}, many),
        ActKind.REPLAY: Deed("POST", "/v1/dead-letters/replay", {"error_type": "KeyError"}),
        ActKind.UNDO_REPLAY: Deed("POST", f"/v1/dead-letters/replays/{replay}/undo", {}, replay),
        ActKind.DISCARD: Deed("POST", "/v1/set-aside-messages/discard", {"through": "1-1"}, "1-1"),
        ActKind.EJECT: Deed("POST", f"/v1/workers/{WORKER}/eject", {}, WORKER),
        ActKind.ADMIT: Deed("POST", f"/v1/workers/{WORKER}/admit", {}, WORKER),
        ActKind.SET_POLICY: Deed("PUT", breaker, {"failure_threshold": 9}, smtp),
        ActKind.UNSET_POLICY: Deed("DELETE", f"{breaker}/policy", {}, smtp),
        ActKind.RESET: Deed("POST", f"{breaker}/reset", {}, smtp),
        ActKind.PROBE: Deed("POST", f"/v1/breakers/{TRIED}/probe", {}, "dependency:tried"),
        ActKind.FORCE_OPEN: Deed("POST", f"{breaker}/force-open", {}, smtp),
        ActKind.FORCE_CLOSED: Deed("POST", f"{breaker}/force-close", {}, smtp),
        ActKind.DISABLE: Deed("POST", f"{breaker}/disable", {}, smtp),
        ActKind.REPORT: Deed("POST", "/v1/breakers/dependency/new/outcomes", failure, "dependency:new"),
        ActKind.LEASE: Deed("POST", f"/v1/breakers/{BARELY}/permits", {}, "dependency:barely"),
        ActKind.ACKNOWLEDGE: Deed("POST", f"/v1/alerts/{alert}/ack", {}, alert),
        ActKind.UNACKNOWLEDGE: Deed("POST", f"/v1/alerts/{alert}/unack", {}, alert),
        ActKind.SILENCE: Deed("POST", f"/v1/alerts/{alert}/silence", {"seconds": 60}, alert),
        ActKind.UNSILENCE: Deed("POST", f"/v1/alerts/{alert}/unsilence", {}, alert),
        ActKind.RESOLVE_ERROR: Deed("POST", f"/v1/errors/{GROUP}/resolve", {}, GROUP),
        ActKind.REOPEN_ERROR: Deed("POST", f"/v1/errors/{GROUP}/reopen", {}, GROUP),
        ActKind.IGNORE_ERROR: Deed("POST", f"/v1/errors/{GROUP}/ignore", {}, GROUP),
        ActKind.CREATE_KEY: Deed("POST", "/v1/keys", {"name": "new", "preset": "viewer"}, "new"),
        ActKind.LIMIT_KEY: Deed("POST", f"/v1/keys/{old}/limit", {"rate": "100/60s"}, old),
        ActKind.ROTATE_KEY: Deed("POST", f"/v1/keys/{old}/rotate", {}, old),
        ActKind.REVOKE_KEY: Deed("POST", f"/v1/keys/{leaked}/revoke", {}, leaked),
        ActKind.TEST_CHANNEL: Deed("POST", "/v1/alert-channels/on-call/test", {}, "on-call"),
    }  # fmt: skip


def test_every_operation_that_is_no_reading_is_a_submission_or_an_act() -> None:
    assert {one.id for one in operations() if not one.is_safe} == SUBMISSIONS | {str(kind) for kind in ActKind}


async def test_a_broker_that_is_away_is_told_alike(store: Store, settings: Settings) -> None:
    away = RedisServer("redis://127.0.0.1:1/0", 1.0)
    transport = httpx.ASGITransport(fronted(application(Spine(store, away, settings))))
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as api:
        read = await api.get("/v1/set-aside-messages")
        discarded = await api.post("/v1/set-aside-messages/discard", json={"through": "1-1"})
    told = [answer.json() | {"instance": None} for answer in (read, discarded)]
    assert told[0] == told[1]
    assert (told[0]["status"], told[0]["type"]) == (503, "urn:pointsman:problem:broker-away")


async def test_every_act_passes_one_place_once_with_who_and_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Act] = []
    told: Callable[[Act], None] = acts._log

    def seeing(act: Act) -> None:
        seen.append(act)
        told(act)

    monkeypatch.setattr(acts, "_log", seeing)
    assert set(world.deeds) == set(ActKind)
    for kind in world.deeds:
        before = await world.digest()
        answer = await world.do(kind)
        assert answer.status_code < 300, (kind, answer.text)
        assert kind in NOT_STORED or await world.digest() != before, f"{kind} changed nothing"
        (act,) = seen
        assert (act.kind, act.caller) == (kind, LOCAL)
        assert act.reason == (None if kind in NO_REASON else WHY)
        assert act.subject == (world.deeds[kind].subject or answer.json().get("replay_id", answer.json().get("id")))
        seen.clear()


async def test_every_call_that_changes_something_leaves_one_row_of_who_why_and_what_there_was(world: World) -> None:
    """But submissions, whose own row names their caller, and what other services report at each of their calls."""
    assert set(world.deeds) == set(ActKind) == COUNTS.keys() | acts.BY_PROGRAMS | {ActKind.TEST_CHANNEL}
    wrong = []
    for kind in world.deeds:
        before = {row["id"] for row in await world.spine.rows("SELECT id FROM audit")}
        answer = await world.do(kind)
        assert answer.status_code < 300, (kind, answer.text)
        rows = await world.spine.rows("SELECT id, act, subject, actor, caller, reason, counts FROM audit ORDER BY id")
        made = [row for row in rows if row.pop("id") not in before]
        for row in made:
            row["counts"] = row["counts"] and {name: row["counts"][name] for name in row["counts"] if name != "made"}
        subject = world.deeds[kind].subject or answer.json().get("replay_id", answer.json().get("id"))
        who = {"act": str(kind), "subject": subject, "actor": "local", "caller": "local", "reason": WHY}
        if made != ([] if kind in acts.BY_PROGRAMS else [who | {"counts": COUNTS.get(kind)}]):
            wrong.append((str(kind), made))
    assert not wrong, "\n".join(map(str, wrong))


async def test_what_an_act_does_is_stored_by_its_transaction_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = Store.transaction

    @asynccontextmanager
    async def failing(store: Store) -> AsyncIterator[Connection]:
        async with transaction(store) as connection:
            yield connection
            raise DatabaseTrouble("the disk is full")

    for kind in world.deeds:
        before = await world.digest()
        with monkeypatch.context() as patched:
            patched.setattr(Store, "transaction", failing)
            answer = await world.do(kind)
        assert answer.status_code == 503, (kind, answer.text)
        assert answer.json()["type"] == "urn:pointsman:problem:database-away"
        assert await world.digest() == before, kind
        # Others need what it does.
        assert (await world.do(kind)).status_code < 300, kind


async def test_an_act_that_is_stored_is_never_told_as_not_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    transaction, statement = Store.transaction, Store.statement
    stored = False

    @asynccontextmanager
    async def noted(store: Store) -> AsyncIterator[Connection]:
        nonlocal stored
        async with transaction(store) as connection:
            yield connection
        stored = True

    @asynccontextmanager
    async def away_once_stored(store: Store) -> AsyncIterator[Connection]:
        if stored:
            raise DatabaseAway("The database does not answer; nothing was stored.")
        async with statement(store) as connection:
            yield connection

    could_not_be_read = set()
    for kind in world.deeds:
        before = await world.digest()
        with monkeypatch.context() as patched:
            patched.setattr(Store, "transaction", noted)
            patched.setattr(Store, "statement", away_once_stored)
            answer = await world.do(kind)
        stored = False
        assert kind in NOT_STORED or await world.digest() != before, f"{kind} changed nothing"
        if answer.status_code >= 300:
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:pointsman:problem:database-away"), kind
            assert answer.json()["detail"].startswith("It is done and stored"), kind
            could_not_be_read.add(kind)
    assert could_not_be_read >= {ActKind.CANCEL, ActKind.PAUSE, ActKind.PURGE, ActKind.EJECT, ActKind.UNDO_REPLAY}


async def test_an_act_that_is_refused_is_not_noted_as_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Act] = []
    monkeypatch.setattr(acts, "_log", seen.append)
    failed = world.deeds[ActKind.RETRY].subject
    asked = {
        "/v1/tasks/0197a000-0000-7000-8000-000000000000/cancel": 404,
        f"/v1/tasks/{failed}/cancel": 409,
        "/v1/queues/reports/purge": 409,
        "/v1/workers/nobody@h/eject": 404,
        "/v1/alerts/0197a000-0000-7000-8000-000000000000/ack": 404,
    }
    for path, status in asked.items():
        body = {"reason": WHY} | ({"expected": 99} if "purge" in path else {})
        assert (await world.api.post(path, json=body)).status_code == status, path
    assert seen == []


@pytest.mark.parametrize("blank", [" ", "\t\n", "\u3000", "\u202e \u200b"])
async def test_a_reason_or_a_name_that_says_nothing_is_refused(world: World, blank: str) -> None:
    before = await world.digest()
    for kind, (method, path, body, _) in world.deeds.items():
        if kind in NO_REASON:
            continue
        said = {"params": {"reason": blank}} if method == "DELETE" else {"json": body | {"reason": blank}}
        answer = await world.api.request(method, path, **said)
        assert (answer.status_code, kind) == (422, kind), answer.text
    ack = world.deeds[ActKind.ACKNOWLEDGE].path
    assert (await world.api.post(ack, json={"reason": WHY, "who": blank})).status_code == 422
    assert await world.digest() == before


async def test_an_act_that_finds_it_so_already_is_logged_as_having_changed_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Act] = []
    monkeypatch.setattr(acts, "_log", seen.append)
    twice = [ActKind.ADMIT, ActKind.RESET, ActKind.ACKNOWLEDGE, ActKind.SILENCE, ActKind.UNSILENCE, ActKind.UNDO_REPLAY]
    await world.do(ActKind.EJECT)
    for kind in [*twice, *twice]:
        if kind is not ActKind.SILENCE or len(seen) < len(twice):
            assert (await world.do(kind)).status_code < 300, kind
    for kind in (ActKind.PROBE, ActKind.PROBE, ActKind.ACKNOWLEDGE, ActKind.UNACKNOWLEDGE, ActKind.UNACKNOWLEDGE):
        assert (await world.do(kind)).status_code < 300, kind
    assert [act.changed for act in seen[-5:]] == [True, False, False, True, False]
    del seen[-5:]
    assert [(act.kind, act.changed) for act in seen[1:]] == [
        *((kind, True) for kind in twice),
        *((kind, False) for kind in twice if kind is not ActKind.SILENCE),
    ]
