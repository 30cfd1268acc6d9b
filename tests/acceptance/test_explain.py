"""Each cause is made, and the task says within two seconds why it waits. One installation, broken bit by bit: what
cannot be mended cheaply comes last.
"""

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pointsman_contract.keys import BEATS
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.acceptance.first_page import told
from tests.stand.stack import Row, Stack
from tests.stand.waiting import SLOWEST, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

_SECONDS = 2.0
"""From when the system itself can know a cause until it is named."""
_NOW_SECONDS = 12.0
"""The same on the first page: a look is kept for a second and a half, and what is told beside it for eight."""
_SILENT_SECONDS = 6
_WINDOW = 4
_MANY = 500
"""More than any window."""


@pytest.fixture(scope="module")
async def explained(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """An installation whose roles are processes of their own, with one node that has one process."""
    directory = tmp_path_factory.mktemp("explained")
    database = postgres.start().create_database(template=migrated_template)
    variables = {
        "POINTSMAN_LEADER_SECONDS": "2",
        "POINTSMAN_ALERT_ROLE_MISSING_SECONDS": "1",
        "POINTSMAN_WORKER_DEAD_SECONDS": str(_SILENT_SECONDS),
        "POINTSMAN_WINDOW_INITIAL": str(_WINDOW),
        "POINTSMAN_ALERT_INTERVAL_SECONDS": "0.5",
        "POINTSMAN_CIRCUIT_BREAKER": '{"failure_threshold": 3, "recovery_timeout": 600}',
    }
    roles = ("api", "dispatcher", "recorder", "reconciler")
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        async with Stack(database, valkey, directory, processes=1, variables=variables, services=roles) as stack:
            yield stack


async def explain(stack: Stack, task_id: str) -> Row:
    answer = await stack.http.get(f"/v1/tasks/{task_id}/explain")
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


async def named(stack: Stack, task_id: str, cause: str) -> Row:
    """The explanation, once it names the cause: in time."""
    began = time.monotonic()
    last: Row = {}

    async def so() -> Row | None:
        last.update(await explain(stack, task_id))
        return last if last["cause"] == cause else None

    found = await until(so, f"{cause} to be named")
    assert time.monotonic() - began <= SLOWEST * _SECONDS
    return found


async def on_now(stack: Stack, kind: str, subject: str | None = "", *words: str) -> Row:
    """The cause on the first page, once all of this is told of it: in time. ``subject`` None: whatever it is about."""
    began = time.monotonic()
    found = await told(stack, kind, subject, *words, seconds=2 * SLOWEST * _NOW_SECONDS)
    assert time.monotonic() - began <= SLOWEST * _NOW_SECONDS
    return found


async def post(stack: Stack, path: str, **body: object) -> Row:
    answer = await stack.http.post(path, json=body)
    assert answer.status_code in (200, 202), answer.text
    found: Row = answer.json()
    return found


async def done_as_told(stack: Stack, found: Row) -> None:
    """Make the call that the explanation names."""
    call = re.search(r"(?P<method>[A-Z]+) (?P<path>/v1/\S*[^\s.])(?: (?P<body>\{.*\}))?", found["what_to_do"])
    assert call is not None, found["what_to_do"]
    body = None if call["body"] is None else json.loads(call["body"])
    answer = await stack.http.request(call["method"], call["path"], json=body)
    assert answer.status_code in (200, 202), answer.text


async def held_for(stack: Stack, dependency: str) -> str:
    """A task that is held: one that a worker took before it knew of the breaker ran."""

    async def held() -> str | None:
        task_id = await stack.submit("ledger.write", queue="email", dependencies=[dependency])

        async def decided() -> str | None:
            state = (await stack.task(task_id))["state"]
            return None if state in ("queued", "running") else str(state)

        return task_id if await until(decided, "the task to be held or to run") == "held" else None

    return await until(held, f"a task that is held for {dependency}")


async def test_a_task_of_later_and_one_between_two_attempts_say_when_they_start(explained: Stack) -> None:
    scheduled = await explained.submit("ledger.write", queue="reports", delay_seconds=3600)
    found = await named(explained, scheduled, "scheduled")
    assert (found["clears_itself"], found["expected_at"]) == (True, (await explained.task(scheduled))["due_at"])

    failing = await explained.submit("ledger.flaky", args=[1, "retry", 600.0], queue="reports")
    await explained.wait_for_state(failing, "retrying")
    found = await named(explained, failing, "retrying")
    assert "Attempt 1 failed with ConnectionError: attempt 1." in found["sentence"]
    assert found["facts"]["error_type"] == "ConnectionError"


async def test_a_paused_queue_says_who_paused_it_and_why(explained: Stack) -> None:
    await post(explained, "/v1/queues/email/pause", reason="provider moves")
    first = await explained.submit("ledger.write", queue="email")
    second = await explained.submit("ledger.write", queue="email")
    try:
        found = await named(explained, second, "queue_paused")
        assert ("paused by local" in found["sentence"], ": provider moves." in found["sentence"]) == (True, True)
        assert (found["clears_itself"], found["facts"]["ahead"], found["link"]) == (False, 1, "/v1/queues/email")
        await on_now(explained, "queue_paused", "email", 'by local: "provider moves".', "2 tasks wait on email")
    finally:
        await done_as_told(explained, found)
    assert (await explained.finished(first))["state"] == "succeeded"
    await explained.finished(second)
    assert (await named(explained, second, "succeeded"))["clears_itself"] is None


async def test_a_breaker_says_whether_it_opened_by_itself_and_with_what_error(explained: Stack) -> None:
    failure = {"outcome": "failure", "error": "HTTPStatusError", "message": "503 from crm"}
    await post(explained, "/v1/breakers/dependency/crm/outcomes", outcomes=[failure] * 3)
    first = await held_for(explained, "crm")
    second = await held_for(explained, "crm")
    found = await named(explained, second, "breaker_open")
    assert "Last error: HTTPStatusError: 503 from crm (3 times)." in found["sentence"]
    assert "It is tried next in " in found["sentence"]
    assert (found["clears_itself"], found["facts"]["held"]) == (True, len({first, second}))
    words = ("HTTPStatusError: 503 from crm, 3 calls.", "2 tasks are held (2 ledger.write)", "It is tried again in ")
    cause = await on_now(explained, "breaker_open", "dependency:crm", *words)
    assert cause["error"]["type"] == "HTTPStatusError"

    await post(explained, "/v1/breakers/dependency/smtp/force-open", reason="they migrate", new=True)
    found = await named(explained, await held_for(explained, "smtp"), "breaker_forced_open")
    assert " By local at " in found["sentence"]
    assert (": they migrate." in found["sentence"], found["clears_itself"]) == (True, False)
    await on_now(explained, "breaker_open", "dependency:smtp", 'by local: "they migrate".', "1 task is held")
    await done_as_told(explained, found)
    assert (await explained.http.get("/v1/breakers/dependency/smtp")).json()["state"] == "closed"


async def test_a_type_that_no_node_knows_says_who_published_it(explained: Stack) -> None:
    await explained.execute(
        "INSERT INTO task_type (name, content_hash, spec) SELECT 'gone.count', 'gone',"
        " jsonb_set(spec, '{name}', '\"gone.count\"') FROM task_type WHERE name = 'ledger.write' LIMIT 1"
    )

    async def accepted() -> str | None:
        answer = await explained.http.post("/v1/tasks", json={"task_type": "gone.count", "queue": "email"})
        return str(answer.json()["id"]) if answer.status_code == 202 else None

    unknown = await until(accepted, "the type to be known")
    await explained.wait_for_state(unknown, "held")
    found = await named(explained, unknown, "unknown_task_type")
    assert "no living worker of it knows the task type gone.count" in found["sentence"]
    (node,) = found["facts"]["nodes"]
    assert node.startswith("acceptance@")
    assert found["facts"]["publisher"]["name"] is None


async def test_a_busy_pool_says_with_what(explained: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    holding = await explained.submit("ledger.hold", args=[str(release)], queue="reports")
    try:
        await explained.wait_for_state(holding, "running")
        found = await named(explained, holding, "running")
        assert found["facts"]["worker"].startswith("acceptance@")

        waiting = [await explained.submit("ledger.write", queue="reports") for _ in range(2 * _WINDOW)]

        async def beaten() -> bool:
            with explained.redis() as connection:
                return any(holding in beat for beat in connection.hvals(BEATS))

        await until(beaten, "a beat that names the run")
        found = await named(explained, waiting[-1], "all_busy")
        assert (found["facts"]["ahead"], found["facts"]["processes"], found["facts"]["busy"]) == (7, 1, 1)

        async def doing() -> Row | None:
            return next(iter((await explain(explained, waiting[-1]))["facts"]["running"]), None)

        running = await until(doing, "what the process runs to be told", SLOWEST * _SECONDS)
        assert (running["task_type"], running["longest_task_id"]) == ("ledger.hold", holding)

        async def full() -> bool:
            also = (await explain(explained, waiting[-1]))["also"]
            return [one["cause"] for one in also] == ["window_full"]

        await until(full, "the dispatcher to fill the window", SLOWEST * _SECONDS)

        alone = await explained.submit("ledger.write", queue="email", delay_seconds=3600)
        await explained.execute(
            "UPDATE task_live SET state = 'held', place = 'held', held_reason = 'quarantine', held_at = now(),"
            " interrupted_in_a_row = 5, due_at = now() WHERE id = CAST(:id AS uuid)",
            id=alone,
        )
        found = await named(explained, alone, "quarantine")
        assert found["sentence"].startswith("It lost its worker 5 times in a row")

        await post(explained, f"/v1/tasks/{holding}/cancel", grace_seconds=100)
        found = await named(explained, holding, "cancelling")
        assert "local cancelled it at " in found["sentence"]
    finally:
        release.touch()
    await explained.finished(holding)
    for task_id in waiting:
        await explained.finished(task_id)


async def test_an_ejected_node_says_why(explained: Stack) -> None:
    (worker,) = (await explained.http.get("/v1/workers")).json()["items"]
    await post(explained, f"/v1/workers/{worker['name']}/eject", reason="its disk is full")

    async def heard() -> bool:
        (shown,) = (await explained.http.get("/v1/workers")).json()["items"]
        return shown["fetching"] is False

    try:
        await until(heard, "the node to hear of it")
        waiting = await explained.submit("ledger.write", queue="reports")
        found = await named(explained, waiting, "worker_ejected")
        assert f"{worker['name']} is taken off its queues" in found["sentence"]
        assert ("its disk is full" in found["sentence"], found["clears_itself"]) == (True, False)
        await on_now(explained, "breaker_open", f"worker:{worker['name']}", 'by local: "its disk is full".')
        await done_as_told(explained, found)
    finally:
        await explained.http.post(f"/v1/workers/{worker['name']}/admit", json={"reason": "mended"})
    assert (await explained.finished(waiting))["state"] == "succeeded"


async def test_what_ended_says_why(explained: Stack) -> None:
    spent = await explained.submit("ledger.flaky", args=[9], queue="reports", max_attempts=1)
    permanent = await explained.submit("fail", kwargs={"message": "card declined", "permanent": True}, queue="reports")
    cancelled = await explained.submit("ledger.write", queue="reports", delay_seconds=3600)
    await post(explained, f"/v1/tasks/{cancelled}/cancel")
    purged = await explained.submit("ledger.write", queue="external_api", delay_seconds=3600)
    await post(explained, "/v1/queues/external_api/purge", expected=1, states=["scheduled"])
    for task_id, cause, said in (
        (spent, "attempts_spent", "its one attempt"),
        (permanent, "permanent_error", "card declined"),
        (cancelled, "cancelled", "It was cancelled by local at "),
        (purged, "purged", "It was purged with the queue external_api at "),
    ):
        await explained.finished(task_id)
        found = await named(explained, task_id, cause)
        assert said in found["sentence"]
        if cause == "cancelled":
            await done_as_told(explained, found)
            again = (await explained.task(task_id))["replayed_as"]
            assert (await explained.finished(again))["replayed_from"] == task_id


async def test_a_full_window_and_then_a_dead_node_say_so(explained: Stack) -> None:
    explained.worker.freeze_all()
    many = [{"task_type": "ledger.write", "queue": "reports"}] * _MANY
    batch = await post(explained, "/v1/tasks/batch", tasks=many)
    first, *_, last = [result["task"]["id"] for result in batch["results"]]
    found = await named(explained, last, "window_full")
    assert (found["facts"]["window"] <= found["facts"]["on_broker"], found["clears_itself"]) == (True, True)
    assert found["facts"]["ahead"] == _MANY - 1
    explained.worker.kill()

    async def silent() -> bool:
        items = (await explained.http.get("/v1/workers")).json()["items"]
        return not any(one["live"] for one in items)

    await until(silent, "the node to be found dead")
    found = await named(explained, first, "no_worker")
    (node,) = found["facts"]["last_nodes"]
    assert (node["name"].startswith("acceptance@"), node["left"], found["clears_itself"]) == (True, False, False)
    assert "which fell silent" in found["sentence"]
    assert found["what_to_do"].endswith("celery -A pointsman worker -Q reports.")
    # Other queues may have something that waits, too: they are told together.
    cause = await on_now(explained, "no_worker", None, f"{node['name']} was last seen ", " tasks wait on reports")
    assert "celery -A pointsman worker -Q reports" in [remedy["command"] for remedy in cause["remedies"]]


async def test_a_role_that_nobody_has_is_named_by_the_tasks_that_it_keeps(explained: Stack) -> None:
    await explained.role("dispatcher").stop()
    unsent = await explained.submit("ledger.write", queue="email", delay_seconds=0.1)
    await explained.wait_for_state(unsent, "queued")
    asleep = await explained.submit("ledger.write", queue="email", delay_seconds=2)
    await explained.role("reconciler").stop()
    await explained.role("recorder").stop()
    sent = await explained.submit("ledger.write", queue="critical")

    async def missed() -> bool:
        parts = (await explained.http.get("/readyz?verbose")).json()["parts"]
        due = (await explained.task(asleep))["due_at"] < (await explain(explained, asleep))["as_of"]
        gone = [role for role in ("recorder", "dispatcher", "reconciler") if " leads for " in parts[role]["detail"]]
        return due and len(gone) == 3

    await until(missed, "the roles to be missed")
    for task_id, cause in ((unsent, "no_dispatcher"), (asleep, "no_reconciler"), (sent, "no_recorder")):
        found = await named(explained, task_id, cause)
        assert (found["clears_itself"], found["link"]) == (False, "/readyz?verbose")
    for kind, said in (
        ("no_dispatcher", "No dispatcher runs since "),
        ("no_reconciler", "delays, retries, rescues and worker states stand still"),
        ("no_recorder", "no recorder runs since "),
    ):
        await on_now(explained, kind, "", said)
    queues = (await explained.http.get("/v1/now")).json()["queues"]
    assert {queue["state"] for queue in queues} == {"unknown"}, "figures are old: none is known to be late"


async def test_postgresql_away_is_said_with_what_workers_run(explained: Stack, postgres: PostgresServer) -> None:
    postgres.kill()
    try:
        words = ("PostgreSQL does not answer since ", "submissions are refused (503)", "Workers run nothing now")
        await on_now(explained, "database_away", "", *words)
        now = (await explained.http.get("/v1/now")).json()
        assert {queue["state"] for queue in now["queues"]} == {"unknown"}
    finally:
        postgres.start()


async def test_redis_away_is_named_before_what_it_leads_to(explained: Stack) -> None:
    waiting = await explained.submit("ledger.write", queue="critical")
    explained.valkey.kill()
    found = await named(explained, waiting, "broker_away")
    assert found["sentence"].startswith("The broker does not answer (")
    assert [one["cause"] for one in found["also"]][:1] == ["no_recorder"]
    await on_now(explained, "broker_away", "", "Redis is away since ", "nothing starts")
