"""The facts that an explanation is made of, from the database and the broker."""

from typing import Any
from uuid import uuid4

import httpx

from pointsman_contract.queues import list_key, step_of
from pointsman_service.api.explain import ExplanationView, QueueExplanationView
from pointsman_service.store.tasks import explaining
from pointsman_service.store.tasks.submitting import NewTask
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine, new_task


async def explain(api: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    answer = await api.get(f"/v1/tasks/{task_id}/explain")
    assert answer.status_code == 200, answer.text
    ExplanationView.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


async def led(spine: Spine) -> None:
    """Somebody has each role."""
    await spine.run(
        "INSERT INTO leader (name, holder, expires_at) SELECT name, 'x', now() + interval '1 hour'"
        " FROM unnest(ARRAY['dispatcher', 'recorder', 'epoch']) AS leads (name)"
    )


async def test_unknown_task_is_404(api: httpx.AsyncClient) -> None:
    for task_id in (str(uuid4()), "nope"):
        answer = await api.get(f"/v1/tasks/{task_id}/explain")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:pointsman:problem:unknown-task")


async def waiting(spine: Spine, *tasks: NewTask) -> list[str]:
    """Tasks that have been due for a minute and were not sent."""
    await spine.commits.write_batch(list(tasks))
    await spine.run("UPDATE task_live SET due_at = due_at - interval '60 seconds'")
    return [task.id for task in tasks]


async def test_those_before_it_are_counted_by_priority_and_then_by_age(spine: Spine) -> None:
    first, second, urgent, low, elsewhere = await waiting(
        spine,
        new_task(priority=5),
        new_task(priority=5),
        new_task(priority=9),
        new_task(priority=1),
        new_task(priority=9, queue="email"),
    )
    await spine.run("UPDATE task_live SET place = 'sent' WHERE id = CAST(:id AS uuid)", id=low)
    rows = {str(row["id"]): row for row in await spine.rows("SELECT id, queue, priority, due_at FROM task_live")}

    async def ahead(task_id: str) -> tuple[int, bool]:
        row = rows[task_id]
        async with spine.store.statement() as connection:
            return await explaining.ahead_of_unsent(connection, row["id"], row["queue"], row["priority"], row["due_at"])

    found = {name: await ahead(name) for name in (first, second, urgent, elsewhere)}
    assert found == {first: (1, False), second: (2, False), urgent: (0, False), elsewhere: (0, False)}


async def test_no_more_than_a_thousand_are_counted(spine: Spine) -> None:
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, max_attempts, sla_seconds,"
        " timeout_seconds, due_at, caller, args, kwargs) SELECT gen_random_uuid(), 'queued', 'waiting', 'noop',"
        " 'maintenance', 9, 1, 1, 1, now(), 'local', '[]', '{}' FROM generate_series(1, 1500)"
    )
    task = new_task(priority=3)
    await waiting(spine, task)
    (row,) = await spine.rows("SELECT id, due_at FROM task_live WHERE id = CAST(:id AS uuid)", id=task.id)
    async with spine.store.statement() as connection:
        found = await explaining.ahead_of_unsent(connection, row["id"], "maintenance", 3, row["due_at"])
    assert found == (explaining.MOST_COUNTED, True)


async def test_a_message_that_a_node_has_fetched_names_the_node_and_what_it_runs(
    api: httpx.AsyncClient, spine: Spine, add_worker: Any
) -> None:
    await spine.open_epoch()
    running, fetched = new_task(task_type="long"), new_task()
    await spine.commits.write_batch([running, fetched])
    await spine.dispatcher.single_pass()
    message = await spine.message(list_key("maintenance", step_of(3)))
    assert message is not None
    assert message["headers"]["id"] == running.id
    await spine.gate(message)
    await spine.record_all()
    await spine.run("UPDATE task_live SET started_at = now() - interval '100 seconds' WHERE state = 'running'")
    await add_worker("w@h", ["maintenance"], processes=1, owner="w")
    await spine.run("UPDATE worker SET pid = 1")
    await led(spine)
    await beat(spine, "w", 1, 1, (running.id, 1, "token"), reserved=[f"{running.id}.1", f"{fetched.id}.1"])

    found = await explain(api, fetched.id)

    assert found["cause"] == "all_busy"
    assert (found["facts"]["fetched_by"], found["facts"]["busy"], found["facts"]["ahead"]) == ("w@h", 1, 0)
    (doing,) = found["facts"]["running"]
    assert (doing["task_type"], doing["longest_task_id"]) == ("long", running.id)
    assert doing["longest_seconds"] >= 100


async def test_a_node_that_took_its_beat_away_is_missed_at_once(
    api: httpx.AsyncClient, spine: Spine, add_worker: Any
) -> None:
    await spine.open_epoch()
    await add_worker("w@h", ["maintenance"])
    (task_id,) = await waiting(spine, new_task())
    await led(spine)

    found = await explain(api, task_id)

    assert found["cause"] == "no_worker"
    (node,) = found["facts"]["last_nodes"]
    assert (node["name"], node["left"]) == ("w@h", True)


async def test_a_held_task_of_a_breaker_that_is_forgotten_is_told_that_it_goes(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    (task_id,) = await waiting(spine, new_task())
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_at = now(), held_reason = 'breaker:dependency:crm'"
    )
    await led(spine)

    found = await explain(api, task_id)

    assert (found["cause"], found["facts"]["held"]) == ("breaker_closed", 1)


async def test_a_queue_tells_of_its_next_task(api: httpx.AsyncClient, spine: Spine) -> None:
    assert (await api.get("/v1/queues/maintenance/explain")).json() == {"queue": "maintenance", "next_task": None}
    sent, _, urgent = await waiting(spine, new_task(priority=9), new_task(priority=2), new_task(priority=5))
    await spine.run("UPDATE task_live SET place = 'sent' WHERE id = CAST(:id AS uuid)", id=sent)

    answer = await api.get("/v1/queues/maintenance/explain")

    QueueExplanationView.model_validate_json(answer.content)
    assert answer.json()["next_task"]["task_id"] == urgent
    await spine.run("DELETE FROM task_live WHERE place = 'waiting'")
    assert (await api.get("/v1/queues/maintenance/explain")).json()["next_task"]["task_id"] == sent
    assert (await api.get("/v1/queues/nope/explain")).status_code == 404


async def test_a_queue_of_which_all_that_is_due_is_held_tells_why(api: httpx.AsyncClient, spine: Spine) -> None:
    first, _, elsewhere, later = await waiting(
        spine, new_task(), new_task(), new_task(queue="email"), new_task(delay_seconds=3600.0)
    )
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_at = now(), held_reason = 'breaker:dependency:smtp'"
        " WHERE id <> CAST(:id AS uuid)",
        id=later,
    )
    await led(spine)

    for queue, task in (("maintenance", first), ("email", elsewhere)):
        found = (await api.get(f"/v1/queues/{queue}/explain")).json()["next_task"]
        assert (found["task_id"], found["cause"], found["facts"]["name"]) == (task, "breaker_closed", "smtp")
    assert (await api.get("/v1/queues/reports/explain")).json()["next_task"] is None
