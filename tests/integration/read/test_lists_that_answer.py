"""A list answers whatever it is narrowed to and however much there is: from an index, or page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import uuid_utils
from sqlalchemy import text

from pointsman_contract.states import TaskState
from pointsman_service.store.store import Connection, DatabaseTrouble
from pointsman_service.store.tasks import by_submission, looking, reading, searching
from pointsman_service.store.tasks.by_submission import BySubmission
from pointsman_service.store.tasks.listing import count_of, counts_of, page_of
from pointsman_service.store.tasks.pages import Counted, Page, Position, Sort
from pointsman_service.store.tasks.reading import TaskFilter, conditions_of
from pointsman_service.store.upkeep.partitions import lowest_id
from tests.integration.read.test_task_list import end, listed, store_tasks
from tests.integration.spine import Spine

OLD = timedelta(days=3)


async def ended(spine: Spine, *, ago: float = 0.0, count: int = 1, **columns: Any) -> list[str]:
    """Ids of tasks that ended so many seconds ago, the last first."""
    ids = [str(uuid_utils.uuid7()) for _ in range(count)]
    given = {"state": "succeeded", "task_type": "noop", "queue": "maintenance", "caller": "local", "attempt": 1}
    given |= {"worker": "w@h", "error_type": None, "error_message": None, "tags": None} | columns
    for task_id in ids:
        await spine.run(
            "INSERT INTO task (id, priority, sla_seconds, timeout_seconds, due_at, args, kwargs, finished_at,"
            " submitted_at, error_traceback, state, task_type, queue, caller, attempt, worker, error_type,"
            " error_message, tags) VALUES (:id, 3, 1, 1, now(), '[]', '{}', now() - :ago * interval '1 second', now(),"
            " '', :state, :task_type, :queue, :caller, :attempt, :worker, :error_type, :error_message,"
            " CAST(:tags AS jsonb))",
            id=UUID(task_id), ago=ago, **given,
        )  # fmt: skip
    return list(reversed(ids))


async def history(spine: Spine, count: int, **columns: Any) -> None:
    """Ended tasks of a second three days ago, all alike, with the ids of that day."""
    low = lowest_id(datetime.now(UTC) - OLD).int
    given = {"task_type": "noop", "caller": "local", "tags": None} | columns
    await spine.run(
        "INSERT INTO task (id, state, task_type, queue, priority, attempt, sla_seconds, timeout_seconds, due_at,"
        " caller, worker, args, kwargs, finished_at, submitted_at, tags)"
        " SELECT CAST(:prefix || lpad(to_hex(n), 8, '0') AS uuid), 'succeeded', :task_type, 'maintenance', 3, 1, 1,"
        " 1, now(), :caller, 'w@h', '[]', '{}', now() - interval '3 days' + n * interval '1 millisecond',"
        " now() - interval '3 days', CAST(:tags AS jsonb) FROM generate_series(1, CAST(:count AS int)) AS n",
        prefix=f"{UUID(int=low).hex[:24]}", count=count, **given,
    )  # fmt: skip


async def pages(api: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    """Every page of a list."""
    found = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get("/v1/tasks", params=parameters | cursor)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if found[-1]["next_cursor"] is None:
            return found
        cursor = {"cursor": found[-1]["next_cursor"]}


def ids_of(found: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for page in found for item in page["items"]]


async def test_each_new_filter_narrows_the_list(api: httpx.AsyncClient, spine: Spine) -> None:
    (plain,) = await ended(spine)
    (shop,) = await ended(spine, caller="shop")
    (other,) = await ended(spine, worker="w2@h")
    (twice,) = await ended(spine, attempt=2)
    (thrice,) = await ended(spine, attempt=3)
    (failed,) = await ended(spine, state="failed", error_type="E", error_message="Order 100% gone_by\nAlice")
    (early,) = await ended(spine, ago=120)
    (waiting,) = await store_tasks(spine, 1)
    (mine,) = await store_tasks(spine, 1, caller="shop")
    minute_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    assert await listed(api, caller="shop") == [mine, shop]
    assert await listed(api, caller="shop", state="succeeded") == [shop]
    assert await listed(api, worker="w2@h") == [other]
    assert await listed(api, attempts=2) == [twice]
    assert await listed(api, attempts=0) == [mine, waiting]
    assert await listed(api, attempts_at_least=2) == [thrice, twice]
    assert await listed(api, attempts_at_least=2, attempts=3) == [thrice]
    assert await listed(api, finished_before=minute_ago) == [early]
    assert await listed(api, finished_after=minute_ago) == [failed, thrice, twice, other, shop, plain]
    assert await listed(api, finished_after=minute_ago, caller="shop") == [shop]
    assert await listed(api, error_message="100% GONE_by\na") == [failed]
    assert await listed(api, error_message="100%gone") == await listed(api, error_message="Order%") == []
    assert await listed(api, error_message="alice", error_type="E", state="failed") == [failed]
    assert await listed(api, state="queued", error_message="alice") == []
    assert await listed(api, state="queued", sort="finished") == []


async def test_a_worker_is_found_by_its_name_in_all_its_lives(api: httpx.AsyncClient, spine: Spine) -> None:
    (first,) = await ended(spine, worker="w@h#1a2b3c4d")
    (second,) = await ended(spine, worker="w@h#00000000")
    await ended(spine, worker="w@h2#1a2b3c4d")
    (running,) = await store_tasks(spine, 1)
    await spine.run("UPDATE task_live SET worker = 'w@h#1a2b3c4d', attempt = 1 WHERE id = :id", id=UUID(running))

    assert await listed(api, worker="w@h") == [running, second, first]
    assert await listed(api, worker="w@h", sort="finished") == [second, first]
    assert await listed(api, worker="w@h#1a2b3c4d") == [running, first]
    assert await listed(api, worker="w@h#ffffffff") == await listed(api, worker="w@") == []
    for worker, hit in (("w@h", 1), ("w@h#1a2b3c4d", 1), ("w@h#00000000", 0)):
        counted = await api.post("/v1/tasks/cancel", json={"worker": worker, "dry_run": True})
        assert counted.json()["tasks"] == hit, worker


async def test_list_by_finish_has_no_gap_and_no_repeat(api: httpx.AsyncClient, spine: Spine) -> None:
    # Some of one moment: their ids tell them apart.
    last, first = await ended(spine, ago=10, count=3), await ended(spine, ago=20, count=4)
    failed = await ended(spine, ago=15, state="failed", count=2)
    await spine.run("UPDATE task SET finished_at = date_trunc('second', finished_at)")
    await store_tasks(spine, 2)

    found = await pages(api, sort="finished", limit=2)
    assert ids_of(found) == [*last, *failed, *first]
    assert [len(page["items"]) for page in found] == [2, 2, 2, 2, 1]
    assert {page["searched_until"] for page in found} == {None}
    assert ids_of(await pages(api, sort="finished", state="failed", limit=1)) == failed
    assert ids_of(await pages(api, sort="finished", error_type="none", limit=1)) == []


async def test_cursor_goes_on_in_its_own_order_whatever_is_asked(api: httpx.AsyncClient, spine: Spine) -> None:
    (late,) = await ended(spine, ago=1)
    (early,) = await ended(spine, ago=2)
    for sort, first, second in (("finished", late, early), ("submitted", early, late)):
        page = (await api.get(f"/v1/tasks?sort={sort}&limit=1")).json()
        assert ids_of([page]) == [first]
        for other in ("finished", "submitted"):
            assert await listed(api, sort=other, cursor=page["next_cursor"]) == [second]


@pytest.mark.parametrize("cursor", ["_" * 32, "A" * 32, "_" * 21 + "w", "A" * 22])
async def test_cursor_of_no_page_is_a_place_in_the_list(api: httpx.AsyncClient, spine: Spine, cursor: str) -> None:
    there = await ended(spine)
    assert await listed(api, cursor=cursor) == (there if cursor.startswith("_") else [])


@pytest.fixture
async def much(spine: Spine) -> Spine:
    """More ended tasks than a page without time looks at; of the rare ones three stand at the very end."""
    await history(spine, 3, caller="rare", tags='{"order": "1"}')
    await spine.run("UPDATE task SET id = CAST(overlay(id::text placing '000' from 1 for 3) AS uuid), attempt = 0")
    await history(spine, 5_000)
    await spine.run("ANALYZE task")
    return spine


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look is cut off, however busy the machine."""
    monkeypatch.setattr(searching, "_STATEMENT_SECONDS", 60.0)
    monkeypatch.setattr(searching, "_FURTHER_SECONDS", 60.0)


async def all_pages(spine: Spine, wanted: TaskFilter, sort: Sort = Sort.SUBMITTED) -> list[Page]:
    """Every page of ten, each without time."""
    found: list[Page] = []
    after: Position | None = None
    while True:
        found.append(await page_of(spine.store, wanted, 10, after, sort, seconds=0.0))
        after = found[-1].following
        if after is None:
            return found


@pytest.mark.parametrize("sort", Sort)
async def test_page_that_looked_at_its_share_says_how_far_and_goes_on(much: Spine, sort: Sort) -> None:
    # No index helps: of most tasks no attempt is the second, but of these none started.
    found = await all_pages(much, TaskFilter(attempts=0), sort)

    assert sum(len(page.rows) for page in found) == 3
    assert len(found) > 2
    assert all(page.searched_until is not None for page in found[:-1])
    assert found[-1].searched_until is None
    moments = [page.searched_until for page in found[:-1] if page.searched_until is not None]
    assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize(
    "wanted",
    [
        TaskFilter(caller="rare"),
        TaskFilter(caller="nobody"),
        TaskFilter(tags=[[{"order": "1"}]]),
        TaskFilter(tags=[[{"order": "1:2"}, {"order:1": "2"}]]),
        TaskFilter(worker="none@h"),
        TaskFilter(worker="none@h#1a2b3c4d"),
        TaskFilter(error_type="none"),
        TaskFilter(error_message="none"),
        TaskFilter(error_group=UUID(int=5)),
        TaskFilter(task_type="none"),
        TaskFilter(queue="none"),
        TaskFilter(attempts_at_least=2),
        TaskFilter(replayed=True),
        TaskFilter(state=TaskState.FAILED),
        TaskFilter(caller="local", task_type="none"),
        TaskFilter(state=TaskState.SUCCEEDED, caller="rare"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("sort", Sort)
async def test_what_an_index_finds_is_answered_at_once(much: Spine, wanted: TaskFilter, sort: Sort) -> None:
    (page,) = await all_pages(much, wanted, sort)

    rare = wanted.caller == "rare" or any({"order": "1"} in readings for readings in wanted.tags)
    assert len(page.rows) == (3 if rare else 0)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("sort", Sort)
async def test_what_was_run_again_long_ago_is_found_at_once(much: Spine, sort: Sort) -> None:
    again = "INSERT INTO replayed_task (task_id, replayed_as, undone) SELECT id, id, {} FROM task WHERE {} LIMIT 7"
    await much.run(again.format("false", "caller = 'rare'"))
    await much.run(again.format("true", "caller = 'local'"))
    (page,) = await all_pages(much, TaskFilter(replayed=True), sort)
    assert [row["caller"] for row in page.rows] == ["rare"] * 3
    first, second, third = page.rows
    assert first["finished_at"] > second["finished_at"] > third["finished_at"]
    after = Position(second["id"], second["finished_at"] if sort is Sort.FINISHED else None)
    rest = await page_of(much.store, TaskFilter(replayed=True), 10, after, sort, seconds=0.0)
    assert [row["id"] for row in rest.rows] == [third["id"]]


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("sort", Sort)
async def test_what_is_rare_lately_is_found_at_once_though_there_was_much_of_it_before(
    spine: Spine, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_GATHERED", 20)
    tag = '{"order": "1"}'
    await history(spine, 100, tags=tag)
    lately = await ended(spine, ago=60, count=12, tags=tag)
    # More than a first look sees, ended since.
    await history(spine, 700, caller="other")
    await spine.run(
        "UPDATE task SET finished_at = now(), id = CAST(left(CAST(:now AS text), 24) || right(id::text, 12) AS uuid)"
        " WHERE caller = 'other'",
        now=str(uuid_utils.uuid7()),
    )
    await spine.run("ANALYZE task")

    page = await page_of(spine.store, TaskFilter(tags=[[{"order": "1"}]]), 10, None, sort, seconds=0.0)
    assert [str(row["id"]) for row in page.rows] == lately[:10]
    assert page.searched_until is None
    found = await all_pages(spine, TaskFilter(tags=[[{"order": "1"}]]), sort)
    assert sum(len(page.rows) for page in found) == 112


@pytest.mark.parametrize("sort", Sort)
async def test_what_is_not_rare_is_looked_for_down_the_index_that_found_it(
    much: Spine, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = []
    plan = searching.Search.plan

    async def noting(self: searching.Search, connection: Connection, *, by_bitmap: bool) -> None:
        gathered.append(by_bitmap)
        await plan(self, connection, by_bitmap=by_bitmap)

    monkeypatch.setattr(searching.Search, "plan", noting)
    # One in ten.
    await much.run("UPDATE task SET caller = 'tenth' WHERE right(id::text, 1) IN ('3', 'c') AND caller = 'local'")
    page = await page_of(much.store, TaskFilter(caller="tenth"), 100, None, sort)
    assert len(gathered) > 1
    assert not any(gathered)
    assert len(page.rows) == 100 or page.searched_until is not None


async def test_more_that_were_run_again_than_are_gathered_are_told_page_by_page(
    much: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await much.run("INSERT INTO replayed_task (task_id, replayed_as) SELECT id, id FROM task WHERE caller = 'rare'")
    monkeypatch.setattr(looking, "MOST_GATHERED", 3)
    found = await all_pages(much, TaskFilter(replayed=True), Sort.FINISHED)
    assert len(found) > 2
    assert sum(len(page.rows) for page in found) == 3


async def test_looks_read_no_table_from_end_to_end(much: Spine) -> None:
    bounds = {"low": UUID(int=0), "high": UUID(int=(1 << 128) - 1), "looks": 100, "most": 10}
    for wanted in (
        TaskFilter(),
        TaskFilter(state=TaskState.RUNNING),
        TaskFilter(state=TaskState.HELD),
        TaskFilter(state=TaskState.SCHEDULED),
        TaskFilter(state=TaskState.QUEUED, queue="email"),
        TaskFilter(caller="local", tags=[[{"a": "b"}]]),
        TaskFilter(state=TaskState.FAILED, error_message="none"),
        TaskFilter(state=TaskState.RETRYING, error_group=UUID(int=5)),
        TaskFilter(task_type="noop"),
    ):
        sides = []
        if not wanted.only_ended:
            sides.append(looking.at_live(wanted))
        if wanted.only_ended or wanted.state is None:
            sides.append(looking.at_ended(wanted))
        for looks in sides:
            gather = [] if looks.gather is None else [(looks.gather.statement, looks.gather.by_bitmap)]
            for statement, by_bitmap in [(looks.down, False), *gather]:
                async with much.store.transaction() as connection:
                    await BySubmission(wanted, 10, None).plan(connection, by_bitmap=by_bitmap)
                    explain = text(f"EXPLAIN {statement.text}")
                    plan = "\n".join((await connection.execute(explain, conditions_of(wanted)[1] | bounds)).scalars())
                assert "Seq Scan" not in plan, f"{wanted}\n{plan}"
                assert by_bitmap or "Sort Key: task" not in plan, f"{wanted}\n{plan}"


async def test_task_that_ends_between_two_looks_is_found_once(spine: Spine) -> None:
    (task_id,) = await store_tasks(spine, 1)
    search = BySubmission(TaskFilter(), 10, None)
    async with spine.store.transaction() as connection:
        await search._live.look(connection, search.floor, 1.0)
        await end(spine, task_id)
        await search.run(connection, 0.0)
    assert [str(one) for one in search.shown()] == [task_id]
    assert search._live.found == search._ended.found, "it was seen in both"


async def test_task_that_meets_the_filter_no_longer_is_left_out(spine: Spine) -> None:
    kept, gone = await store_tasks(spine, 2)
    wanted = TaskFilter(state=TaskState.QUEUED)
    search = BySubmission(wanted, 10, None)
    async with spine.store.transaction() as connection:
        await search.run(connection, 0.0)
        await end(spine, gone)
        rows = await reading.rows_of(connection, wanted, search.shown())
    assert [str(row["id"]) for row in rows] == [kept]


async def test_a_small_list_is_whole_though_its_first_look_takes_too_long(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await ended(spine, count=3)
    look, looks = looking.look, 0

    async def slowly(connection: Connection, *words: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 1:
            await connection.execute(text("SET LOCAL statement_timeout = 1"))
            await connection.execute(text("SELECT pg_sleep(5)"))
        return await look(connection, *words)

    monkeypatch.setattr(by_submission, "look", slowly)
    page = await page_of(spine.store, TaskFilter(), 10)
    assert [str(row["id"]) for row in page.rows] == there
    assert (page.following, page.searched_until) == (None, None)


@pytest.mark.parametrize("slow", [2, 3])
async def test_statement_that_takes_too_long_ends_the_page_and_not_the_list(
    much: Spine, slow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = looking.look

    async def slowly(connection: Connection, *words: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == slow:
            await connection.execute(text("SET LOCAL statement_timeout = 1"))
            await connection.execute(text("SELECT pg_sleep(5)"))
        return await look(connection, *words)

    monkeypatch.setattr(by_submission, "look", slowly)
    page = await page_of(much.store, TaskFilter(attempts=0), 10)
    assert page.following is not None
    assert page.searched_until is not None
    found = []
    while page.following is not None:
        page = await page_of(much.store, TaskFilter(attempts=0), 10, page.following)
        found += page.rows
    assert len(found) == 3


@pytest.mark.parametrize("sort", Sort)
async def test_what_follows_the_looks_may_take_as_long_as_any_statement(
    much: Spine, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = []
    rows_of = reading.rows_of

    async def after(connection: Connection, *words: Any) -> Any:
        timeouts.append((await connection.execute(text("SHOW statement_timeout"))).scalar_one())
        return await rows_of(connection, *words)

    monkeypatch.setattr(reading, "rows_of", after)
    async with much.store.transaction() as connection:
        usual = (await connection.execute(text("SHOW statement_timeout"))).scalar_one()
    await page_of(much.store, TaskFilter(attempts=0), 10, sort=sort)
    assert timeouts == [usual] != ["250ms"], "a stalled machine does not cancel the COMMIT"


async def test_a_look_is_cut_off_sooner_once_there_is_something_to_answer(
    much: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = []
    look = looking.look

    async def noting(connection: Connection, *words: Any) -> Any:
        timeouts.append((await connection.execute(text("SHOW statement_timeout"))).scalar_one())
        return await look(connection, *words)

    monkeypatch.setattr(by_submission, "look", noting)
    # No task has it, and the first look does not come to the end of what it looks at in any case.
    await page_of(much.store, TaskFilter(attempts=0), 10, seconds=0.0)
    assert (timeouts[0], timeouts[-1]) == ("250ms", "40ms")


async def test_other_trouble_of_the_database_is_no_page(much: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(connection: Connection, *words: Any) -> Any:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        await connection.execute(text("DELETE FROM task"))

    monkeypatch.setattr(by_submission, "look", refused)
    with pytest.raises(DatabaseTrouble, match="25006"):
        await page_of(much.store, TaskFilter(), 10)


async def test_what_meets_a_filter_is_counted_in_both_tables(spine: Spine) -> None:
    await ended(spine, count=3, caller="shop")
    await ended(spine, count=2)
    waiting = await store_tasks(spine, 4)
    await end(spine, waiting[0])
    assert await count_of(spine.store, TaskFilter(), 100) == Counted(9, True, None)
    assert await count_of(spine.store, TaskFilter(caller="shop"), 100) == Counted(3, True, None)
    assert await count_of(spine.store, TaskFilter(state=TaskState.QUEUED), 100) == Counted(3, True, None)
    assert await count_of(spine.store, TaskFilter(task_type="nothing"), 100) == Counted(0, True, None)


async def test_several_are_counted_each_for_itself(spine: Spine) -> None:
    await ended(spine, count=3, caller="shop")
    await ended(spine, count=2, caller="shop", state="failed")
    await store_tasks(spine, 1)
    wanted = [TaskFilter(caller="shop", state=state) for state in (TaskState.SUCCEEDED, TaskState.FAILED)]
    found = await counts_of(spine.store, [*wanted, TaskFilter(state=TaskState.QUEUED)], 100, 60.0)
    assert found == [Counted(3, True, None), Counted(2, True, None), Counted(1, True, None)]


async def test_a_count_goes_no_further_than_asked_and_says_so(spine: Spine) -> None:
    await ended(spine, count=5)
    assert await count_of(spine.store, TaskFilter(), 4) == Counted(4, False, None)
    assert await count_of(spine.store, TaskFilter(), 5) == Counted(5, True, None)


async def test_a_count_that_has_no_time_says_how_far_it_came(spine: Spine) -> None:
    await history(spine, 6000)
    (rare,) = await ended(spine, caller="shop")
    found = await count_of(spine.store, TaskFilter(error_message="nothing has this"), 100, seconds=0.0)
    assert found == Counted(0, True, None), "no task that failed is left to look at"
    found = await count_of(spine.store, TaskFilter(attempts=1, submitted_before=datetime.now(UTC)), 10_000, seconds=0.0)
    assert not found.is_all
    assert 0 < found.tasks < 6001
    assert found.searched_until is not None
    assert found.searched_until < datetime.now(UTC) - timedelta(days=2)
    (some,) = await counts_of(spine.store, [TaskFilter(attempts=1)], 10_000, 0.0, 500)
    assert not some.is_all
    assert 0 < some.tasks < found.tasks
    assert rare
