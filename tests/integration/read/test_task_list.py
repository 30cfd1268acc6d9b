import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.reading import TaskFilter
from pointsman_service.store.upkeep.partitions import ensure_partitions
from tests.integration.spine import Spine, new_task

_HISTORY_COLUMNS = (
    "id, task_type, queue, priority, attempt, max_attempts, dispatch, sla_seconds, timeout_seconds, submitted_at,"
    " due_at, caller, fairness_key, args, kwargs, tags"
)


async def store_tasks(spine: Spine, count: int, **changes: Any) -> list[str]:
    """Ids of new tasks, newest first."""
    tasks = [new_task(**changes) for _ in range(count)]
    await spine.commits.write_batch(tasks)
    return [task.id for task in reversed(tasks)]


async def end(spine: Spine, task_id: str, state: str = "succeeded") -> None:
    """Move a task to history."""
    await spine.run(
        f"WITH gone AS (DELETE FROM task_live WHERE id = CAST(:id AS uuid) RETURNING *)"
        f" INSERT INTO task (state, {_HISTORY_COLUMNS}) SELECT CAST(:state AS text), {_HISTORY_COLUMNS} FROM gone",
        id=task_id,
        state=state,
    )


async def listed(api: httpx.AsyncClient, **parameters: Any) -> list[str]:
    """Ids of one page."""
    answer = await api.get("/v1/tasks", params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_list_is_newest_first_over_live_and_finished_tasks(api: httpx.AsyncClient, spine: Spine) -> None:
    ids = await store_tasks(spine, 6)
    for task_id in ids[1::2]:
        await end(spine, task_id)

    assert await listed(api) == ids


async def test_named_tasks_are_one_page_of_those_that_are_kept(api: httpx.AsyncClient, spine: Spine) -> None:
    ids = await store_tasks(spine, 60)
    (other,) = await store_tasks(spine, 1, queue="email")
    for task_id in ids[:30]:
        await end(spine, task_id)
    await spine.run(
        "UPDATE task SET finished_at = now() - (SELECT count(*) FROM task u WHERE u.id > task.id) * interval '-1 s'"
    )
    gone = [str(uuid4()), "01900000-0000-7000-8000-000000000000"]

    answer = await api.get("/v1/tasks", params={"task_id": [*ids[::-1], *gone, ids[3].upper()], "limit": 2})
    assert [item["id"] for item in answer.json()["items"]] == ids
    assert (answer.json()["next_cursor"], answer.json()["searched_until"]) == (None, None)
    assert "next" not in answer.links
    assert await listed(api, task_id=[ids[0], other], queue="email") == [other]
    assert await listed(api, task_id=ids[:2] + ids[30:], sort="finished") == [ids[1], ids[0]]
    assert await listed(api, task_id=gone) == []
    nobody = {"state": "scheduled", "error_group": gone[0], "error_type": "ValueError", "replayed": True}
    assert await listed(api, task_id=ids, **nobody) == [], "no task that waits has failed at its end"
    for sort in ("submitted", "finished"):
        first = (await api.get("/v1/tasks", params={"limit": 1, "sort": sort, "queue": "maintenance"})).json()
        before = first["items"][0]["id"]
        assert await listed(api, task_id=[before, ids[10]], cursor=first["next_cursor"]) == [ids[10]], sort


async def test_a_named_task_is_cut_as_in_any_list(api: httpx.AsyncClient, spine: Spine) -> None:
    long, short = await store_tasks(spine, 1, args=json.dumps(["x" * 5000])) + await store_tasks(spine, 1)
    items = (await api.get("/v1/tasks", params={"task_id": [long, short]})).json()["items"]
    assert [(item["id"], item["cut"], item["args"]) for item in items] == [(short, [], []), (long, ["args"], [])]


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"task_id": [str(UUID(int=number)) for number in range(101)]}, "/query/task_id"),
        ({"task_id": ["never"]}, "/query/task_id/0"),
        ({"task_id": [str(UUID(int=0))], "queue": "nowhere"}, "/query/queue"),
    ],
    ids=["too many", "no id", "a queue of nobody"],
)
async def test_names_that_cannot_be_looked_up_are_refused(
    api: httpx.AsyncClient, given: dict[str, Any], pointer: str
) -> None:
    answer = await api.get("/v1/tasks", params=given)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_names_open_no_other_days_however_often_they_are_asked_for(spine: Spine) -> None:
    ids = [UUID(one) for one in await store_tasks(spine, 3)]
    statement = str(reading.rows_statement(TaskFilter())[0])
    for number, name in enumerate(("ids", "first", "last"), 1):
        statement = statement.replace(f":{name}", f"${number}")
    given = f"'{{{','.join(map(str, ids))}}}', '{min(ids)}', '{max(ids)}'"
    async with spine.store.transaction() as connection, connection.begin_nested() as point:
        days = await ensure_partitions(connection)
        # The plan that a statement has once it was asked a few times: it knows no values.
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await connection.exec_driver_sql(f"PREPARE named (uuid[], uuid, uuid) AS {statement}")
        explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE named ({given})")
        plan = [line for line in explained.scalars() if "never executed" not in line]
        await connection.exec_driver_sql("DEALLOCATE named")
        await point.rollback()
    assert len(days) > 3
    assert len([line for line in plan if "Scan using task_day_" in line]) == 1, plan


async def test_pages_follow_one_another_without_gap_or_repeat(api: httpx.AsyncClient, spine: Spine) -> None:
    ids = await store_tasks(spine, 7)
    for task_id in ids[::3]:
        await end(spine, task_id)
    seen: list[str] = []
    path: str | None = "/v1/tasks?limit=3&queue=maintenance"
    pages = 0
    while path is not None:
        answer = await api.get(path)
        seen += [item["id"] for item in answer.json()["items"]]
        pages += 1
        following = answer.links.get("next", {}).get("url")
        assert (following is None) == (answer.json()["next_cursor"] is None)
        path = following
        # What arrives meanwhile stands before the first page.
        await store_tasks(spine, 1)

    assert seen == ids
    assert pages == 3


async def test_each_filter_narrows_the_list(api: httpx.AsyncClient, spine: Spine) -> None:
    (plain,) = await store_tasks(spine, 1)
    (email,) = await store_tasks(spine, 1, queue="email")
    (typed,) = await store_tasks(spine, 1, task_type="other")
    (tagged,) = await store_tasks(spine, 1, tags='{"tenant": "42", "a:b": "x:y"}')
    (ended,) = await store_tasks(spine, 1, fairness_key="a")
    await end(spine, ended)
    (fair,) = await store_tasks(spine, 1, fairness_key="a", queue="reports")
    (failed,) = await store_tasks(spine, 1, fairness_key="b")
    await end(spine, failed, "failed")

    assert await listed(api, fairness_key="a") == [fair, ended]
    assert await listed(api, fairness_key="a", queue="reports") == [fair]
    assert await listed(api, fairness_key="A") == []
    assert await listed(api, queue="email") == [email]
    assert await listed(api, task_type="other") == [typed]
    assert await listed(api, state="failed") == [failed]
    assert await listed(api, state="queued") == [fair, tagged, typed, email, plain]
    assert await listed(api, tag="tenant:42") == [tagged]
    assert await listed(api, tag=["tenant:42", "tenant:42"]) == [tagged]
    assert await listed(api, tag="tenant:4") == []
    assert await listed(api, tag="tenant:42", queue="email") == []
    assert await listed(api, tag="a:b:x:y") == await listed(api, tag=["a:b:x:y", "tenant:42"]) == [tagged]
    assert await listed(api, tag="a:b:x") == await listed(api, tag=["a:b:x:y", "tenant:4"]) == []


async def test_what_is_held_for_one_reason_is_found_among_many_held_for_others(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    crm, other = "breaker:dependency:crm", "breaker:dependency:smtp"
    held = await store_tasks(spine, 3, queue="email") + await store_tasks(spine, 1)
    held = [*held[3:], *held[:3]]
    many = await store_tasks(spine, 450)
    (ended,) = await store_tasks(spine, 1)
    for reason, ids in ((crm, [*held, ended]), (other, many)):
        await spine.run(
            "UPDATE task_live SET state = 'held', place = 'held', held_at = now(), held_reason = :reason"
            " WHERE id = ANY(CAST(:ids AS uuid[]))",
            reason=reason,
            ids=[UUID(one) for one in ids],
        )
    await end(spine, ended, "cancelled")

    assert await listed(api, held_reason=crm) == await listed(api, held_reason=crm, state="held") == held
    assert await listed(api, held_reason=crm, queue="email") == held[1:]
    assert len(await listed(api, held_reason=other, limit=200)) == 200
    assert await listed(api, held_reason="breaker:dependency:no") == []
    assert await listed(api, held_reason=crm, state="queued") == []
    assert await listed(api, held_reason=crm, state="cancelled") == []
    assert await listed(api, held_reason=crm, sort="finished") == []
    page = (await api.get("/v1/tasks", params={"held_reason": crm, "limit": 2})).json()
    assert await listed(api, held_reason=crm, limit=2, cursor=page["next_cursor"]) == held[2:]


@pytest.mark.parametrize(("name", "value"), [("a", "b:c:"), ("a:b", "c:"), ("a:b:c", ""), ("a:b:c:", "x"), ("é:", ":")])
async def test_a_tag_is_found_wherever_its_colons_stand(
    api: httpx.AsyncClient, spine: Spine, name: str, value: str
) -> None:
    (tagged,) = await store_tasks(spine, 1, tags=json.dumps({name: value, "other": "1"}))
    await store_tasks(spine, 1, tags=json.dumps({"other": "1"}))
    assert await listed(api, tag=[f"{name}:{value}", "other:1"]) == [tagged]


async def test_tasks_of_a_queue_and_a_type_that_are_gone_are_still_found(api: httpx.AsyncClient, spine: Spine) -> None:
    (old,) = await store_tasks(spine, 1, queue="gone", task_type="gone.too")
    await end(spine, old)
    assert await listed(api, queue="gone") == await listed(api, task_type="gone.too") == [old]
    page = (await api.get("/v1/tasks", params={"queue": "gone", "limit": 1})).json()
    assert page["next_cursor"] is None


async def test_submission_time_bounds_are_exact_and_half_open(api: httpx.AsyncClient, spine: Spine) -> None:
    (older,) = await store_tasks(spine, 1)
    (newer,) = await store_tasks(spine, 1)
    between = (await api.get(f"/v1/tasks/{newer}")).json()["submitted_at"]

    assert await listed(api, submitted_after=between) == [newer]
    assert await listed(api, submitted_before=between) == [older]
    assert await listed(api, submitted_after="0001-01-01T00:00:00+14:00") == [newer, older]
    assert await listed(api, submitted_before="9999-12-31T23:59:59-14:00") == [newer, older]
    assert await listed(api, submitted_after=(datetime.now(UTC) + timedelta(days=1)).isoformat()) == []


async def test_time_bounds_open_only_the_partitions_they_need(spine: Spine) -> None:
    now = datetime.now(UTC)
    wanted = TaskFilter(submitted_after=now + timedelta(days=2), submitted_before=now + timedelta(days=2, hours=1))
    conditions, parameters = reading.conditions_of(wanted)
    statement = text(f"EXPLAIN SELECT id FROM task WHERE {' AND '.join(conditions)}")
    async with spine.store.statement() as connection:
        plan = "\n".join((await connection.execute(statement, parameters)).scalars())

    assert plan.count("task_day_") <= 4, plan


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("cursor=nonsense", "/query/cursor"),
        ("cursor=%C3%A4", "/query/cursor"),
        ("cursor=AaICccgRcaWZwFEP3iKlfR", "/query/cursor"),
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("state=dead", "/query/state"),
        ("tag=tenant", "/query/tag"),
        ("tag=:42", "/query/tag"),
        ("tag=tenant:1&tag=tenant:2", "/query/tag"),
        ("tag=a:%00", "/query/tag"),
        ("queue=%00", "/query/queue"),
        ("task_type=a%00", "/query/task_type"),
        ("submitted_after=yesterday", "/query/submitted_after"),
        ("submitted_after=2026-01-01T00:00:00", "/query/submitted_after"),
        ("submitted_after=2026", "/query/submitted_after"),
        ("submitted_before=1767225600", "/query/submitted_before"),
        ("submitted_before=2026-01-01", "/query/submitted_before"),
        ("sort=oldest", "/query/sort"),
        ("queue=email&queue=critical", "/query/queue"),
        ("limit=5&limit=5", "/query/limit"),
        ("queue=nowhere", "/query/queue"),
        ("task_type=nobody.knows", "/query/task_type"),
    ],
)
async def test_bad_filter_is_422_naming_the_parameter(api: httpx.AsyncClient, query: str, pointer: str) -> None:
    answer = await api.get(f"/v1/tasks?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_page_of_the_longest_payloads_is_cut_and_says_so(api: httpx.AsyncClient, spine: Spine) -> None:
    long = '["' + "x" * 250_000 + '"]'
    (short,) = await store_tasks(spine, 1, args="[1]", kwargs='{"a":2}')
    ids = await store_tasks(spine, 15, args=long, kwargs='{"a":' + long + "}")
    await end(spine, ids[0], "failed")
    await spine.run(
        "UPDATE task SET result = args, error_type = 'E', error_message = repeat('m', 1001),"
        " error_traceback = repeat('t', 8000) || 'last line' WHERE id = CAST(:id AS uuid)",
        id=ids[0],
    )

    answer = await api.get("/v1/tasks?limit=200")
    newest, *others, oldest = answer.json()["items"]

    assert len(answer.content) < 16 * 1024 * 16
    assert newest["cut"] == ["args", "kwargs", "result", "error.message", "error.traceback"]
    assert (newest["args"], newest["kwargs"], newest["result"]) == ([], {}, None)
    assert newest["error"]["message"] == "m" * 1000
    assert newest["error"]["traceback"].endswith("tlast line")
    assert all((item["cut"], item["args"], item["kwargs"]) == (["args", "kwargs"], [], {}) for item in others)
    assert (oldest["id"], oldest["cut"], oldest["args"], oldest["kwargs"]) == (short, [], [1], {"a": 2})
    whole = (await api.get(f"/v1/tasks/{ids[0]}")).json()
    assert (whole["cut"], len(whole["args"][0]), whole["result"]) == ([], 250_000, whole["args"])
    assert len(whole["error"]["traceback"]) == 8009
