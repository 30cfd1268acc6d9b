"""Whoever lacks ``payload:read`` sees no argument, result, tag, word of a progress, message of an error or line of a
log, whatever they ask. A word that stands in all of them is looked for in every answer.
"""

import json
import time
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest
import uuid_utils

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.access.rights import RIGHTS
from pointsman_service.access.scopes import PRESETS, KeyScope, Preset
from pointsman_service.api.breakers.events import _events
from pointsman_service.api.tasks.change_view import change_json, told_json
from pointsman_service.live.task_changes import TaskChange, Told
from pointsman_service.store.alerts import alerts
from pointsman_service.store.alerts.alerts import NewAlert
from pointsman_service.store.changes import Mark
from pointsman_service.store.tasks import following
from pointsman_service.store.workers import catalogue
from tests.integration.access.keyed import Keyed
from tests.integration.access.test_matrix import STREAMS
from tests.unit.front.asking import operations

SECRET = "hunter2x"
"""Stands in everything that is a payload, and nowhere else."""
SHOWS_IT = {
    "explain_queue", "explain_task", "get_alert", "get_breaker", "get_error", "get_now", "get_task", "get_task_act",
    "list_alerts", "list_attempts", "list_breaker_transitions", "list_breakers", "list_dead_letters", "list_errors",
    "list_log_lines", "list_set_aside_messages", "list_task_acts", "list_tasks",
}  # fmt: skip
"""Operations that answer with it to whoever may see it: without one of them the test shows less than it says."""


class World(NamedTuple):
    """What there is to ask for."""

    failed: str
    succeeded: str
    held: str
    act: str
    group: UUID
    alerts: list[UUID]


async def _insert(keyed: Keyed, table: str, **columns: Any) -> None:
    kinds = {"tags": "jsonb", "recent_task_ids": "uuid[]"}
    values = [f"CAST(:{name} AS {kinds[name]})" if name in kinds else f":{name}" for name in columns]
    await keyed.spine.run(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(values)})", **columns)


def _task(state: str, **more: Any) -> dict[str, Any]:
    progress = {"state": SECRET, "note": SECRET, "meta": {"x": SECRET}, "current": 1, "total": 2, "at": time.time()}
    return {
        "id": UUID(str(uuid_utils.uuid7())),
        "state": state,
        "task_type": "mine",
        "queue": "email",
        "priority": 5,
        "attempt": 1,
        "max_attempts": 2,
        "sla_seconds": 60.0,
        "timeout_seconds": 30.0,
        "caller": "local",
        "args": json.dumps([SECRET]),
        "kwargs": json.dumps({SECRET: 1}),
        "tags": json.dumps({"tenant": SECRET}),
        "fairness_key": SECRET,
        "progress": json.dumps(progress),
    } | more


@pytest.fixture
async def world(keyed: Keyed) -> World:
    now = (await keyed.spine.rows("SELECT now() AS now"))[0]["now"]
    times = {"submitted_at": now, "due_at": now}
    ended = times | {"started_at": now, "finished_at": now}
    error = {"error_type": "ValueError", "error_message": f"no {SECRET}", "error_traceback": f"at {SECRET}"}
    group = uuid4()
    failed = _task("failed", error_group=group, **error, **ended)
    succeeded = _task("succeeded", result=json.dumps({"is": SECRET}), **ended)
    held = _task("held", place="held", held_reason="breaker:dependency:bank", held_at=now, **times)
    for table, task in (("task", failed), ("task", succeeded), ("task_live", held)):
        await _insert(keyed, table, **task)
    for task, attempt in ((failed, 1), (held, 1)):
        await _insert(
            keyed,
            "task_attempt",
            task_id=task["id"],
            attempt=attempt,
            worker="w",
            started_at=now,
            finished_at=now,
            run_seconds=0.1,
            **error,
        )
    lines = json.dumps([[time.time(), "info", "here", f"said {SECRET}"]])
    await _insert(
        keyed,
        "run_log",
        task_id=failed["id"],
        attempt=1,
        run="r",
        first_line=1,
        line_count=1,
        is_last=True,
        lines=lines,
    )
    await _insert(
        keyed, "error_group", id=group, version=1, task_type="mine", error_type="ValueError", message=f"no {SECRET}",
        occurrences=3, tasks=1, example_task_id=failed["id"], example_attempt=1, example_message=f"no {SECRET}",
        example_traceback=f"at {SECRET}", recent_task_ids=[failed["id"]], first_seen_at=now, last_seen_at=now,
        changed_at=now, blamed="dependency:bank",
    )  # fmt: skip
    for step, unit in ((60, "minute"), (3600, "hour"), (86_400, "day")):
        await keyed.spine.run(
            "INSERT INTO error_count (error_group, step_seconds, since, queue, occurrences, tasks)"
            " VALUES (:id, :step, date_trunc(:unit, now(), 'UTC'), 'email', 3, 1)",
            id=group,
            step=step,
            unit=unit,
        )
    await keyed.spine.server.command(
        "XADD", keys.SET_ASIDE, "*", "queue", "email", "reason", "no JSON", "bytes", "9", "head", SECRET, "tail", SECRET
    )
    subjects = {
        "breaker_open": "dependency:bank",
        "breaker_open_long": "dependency:bank",
        "dead_letters": "mine",
        "error_new": f"mine#{group}",
        "error_back": f"mine#{group}",
    }
    new = [
        NewAlert(f"{rule}:{subject}", rule, subject, "ticket", f"no {SECRET}", 1, 1, "", "/v1", time.time())
        for rule, subject in subjects.items()
    ]
    async with keyed.spine.store.transaction() as connection:
        opened = [row.id for row in await alerts.open_new(connection, new)]
    admin = await keyed.key("maker", preset="admin")
    async with keyed.caller(admin.token) as api:
        await api.put("/v1/breakers/dependency/bank", json={"failure_threshold": 1})
        outcome = {"outcome": "failure", "error": "ValueError", "message": f"no {SECRET}"}
        opened_it = await api.post("/v1/breakers/dependency/bank/outcomes", json={"outcomes": [outcome]})
        assert opened_it.json()["state"] == "open"
        act = await api.post("/v1/tasks/cancel", json={"queue": "reports", "tags": {"tenant": SECRET}})
        assert act.status_code == 202, act.text
        for path, reason in (
            (f"/v1/errors/{group}/resolve", {"reason": "why"}),
            (f"/v1/errors/{group}/reopen", {"reason": "why"}),
            (f"/v1/alerts/{opened[2]}/ack", {"reason": "why"}),
        ):
            assert (await api.post(path, json=reason)).status_code == 200
    return World(str(failed["id"]), str(succeeded["id"]), str(held["id"]), act.json()["id"], group, opened)


def _paths(world: World, template: str, path: str) -> list[str]:
    if "{task_id}" in template:
        return [template.format(task_id=one) for one in (world.failed, world.succeeded, world.held)]
    path = path.replace("/v1/breakers/dependency/api.weather.com", "/v1/breakers/dependency/bank")
    if "{alert_id}" in template:
        return [template.format(alert_id=one) for one in world.alerts]
    if "{error_id}" in template:
        return [template.format(error_id=world.group)]
    return [template.format(act_id=world.act)] if "{act_id}" in template else [path.partition("?")[0]]


async def _seen(api: httpx.AsyncClient, world: World) -> dict[str, str]:
    """What each operation that reads answers, by its name."""
    found: dict[str, str] = {}
    for one in operations():
        if not one.is_safe or one.id in STREAMS:
            # Streams are told apart, below.
            continue
        for path in _paths(world, one.template, one.path):
            answer = await api.get(path)
            assert answer.status_code in (200, 403, 404, 503), (one.id, answer.text)
            found[one.id] = found.get(one.id, "") + answer.text
    return found


async def test_who_may_see_payloads_sees_them_in_every_place_that_this_looks_at(keyed: Keyed, world: World) -> None:
    admin = await keyed.key("admin", preset="admin")
    async with keyed.caller(admin.token) as api:
        seen = await _seen(api, world)
    assert {name for name, text in seen.items() if SECRET in text} == SHOWS_IT


@pytest.mark.parametrize("preset", [Preset.VIEWER, Preset.OPERATOR])
async def test_who_may_not_sees_none_of_them(keyed: Keyed, world: World, preset: Preset) -> None:
    scopes = sorted(set(KeyScope) - {KeyScope.PAYLOAD_READ})
    made = await keyed.key("looks", preset=preset)
    every = await keyed.key("all-but-payloads", scopes=scopes)
    for token in (made.token, every.token):
        async with keyed.caller(token) as api:
            seen = await _seen(api, world)
        assert {name for name, text in seen.items() if SECRET in text} == set()


async def test_what_acts_answer_is_masked_too(keyed: Keyed, world: World) -> None:
    made = await keyed.key("acts", preset="operator")
    async with keyed.caller(made.token) as api:
        answers = [
            await api.post(f"/v1/tasks/{world.failed}/retry", json={}),
            await api.patch(f"/v1/tasks/{world.held}", json={"priority": 1}),
            await api.post(f"/v1/tasks/{world.held}/cancel"),
            await api.post(f"/v1/errors/{world.group}/resolve", json={}),
            await api.post(f"/v1/alerts/{world.alerts[0]}/ack", json={"reason": "mine"}),
            await api.post("/v1/breakers/dependency/bank/reset", json={"reason": "mine"}),
            await api.post(f"/v1/task-acts/{world.act}/undo", json={}),
            await api.post("/v1/tasks", json={"task_type": "mine", "kwargs": {"a": SECRET}, "fairness_key": SECRET}),
            await api.post("/v1/tasks/batch", json={"tasks": [{"task_type": "mine", "args": [SECRET]}]}),
        ]
    assert [answer.status_code for answer in answers] == [202, 200, 200, 200, 200, 200, 200, 202, 202]
    assert not [answer.text for answer in answers if SECRET in answer.text]
    assert answers[7].json()["masked"] == ["fairness_key", "kwargs"]


async def test_payloads_are_not_found_out_by_asking_for_them(keyed: Keyed, world: World) -> None:
    made = await keyed.key("looks", preset="operator")
    asked = [
        ("GET", f"/v1/tasks?tag=tenant:{SECRET}", None),
        ("GET", f"/v1/tasks?error_message={SECRET}", None),
        ("GET", f"/v1/tasks?fairness_key={SECRET}", None),
        ("GET", f"/v1/tasks/events?tag=tenant:{SECRET}", None),
        ("POST", "/v1/tasks/cancel", {"tags": {"tenant": SECRET}, "dry_run": True}),
        ("POST", "/v1/tasks/retry", {"tags": {"tenant": SECRET}, "dry_run": True}),
        ("POST", "/v1/tasks/retry", {"error_message": SECRET, "dry_run": True}),
    ]
    async with keyed.caller(made.token) as api:
        for method, path, body in asked:
            answer = await api.request(method, path, json=body)
            assert (answer.status_code, answer.json().get("scope")) == (403, "payload:read"), path


async def test_streams_tell_how_far_a_task_is_and_no_word_of_it(keyed: Keyed, world: World) -> None:
    async with keyed.spine.store.statement() as connection:
        (row,) = await following.tasks(connection, [UUID(world.held)])
    change = TaskChange(row)
    mark = Mark.from_text("1764318066100000.88121.88121")
    assert mark is not None
    told = Told([change], 0, mark)
    for whole, masked in (
        (change_json(change), change_json(change, reads_payloads=False)),
        (told_json(told), told_json(told, reads_payloads=False)),
    ):
        assert SECRET in whole.decode()
        assert SECRET not in masked.decode()
        assert b'"current":1' in masked


@pytest.mark.parametrize("reads", [True, False])
async def test_a_stream_of_breakers_tells_no_message(keyed: Keyed, world: World, reads: bool) -> None:
    stream = keyed.parts.transitions
    listener = await stream.listen(0)
    await stream.single_pass()
    events = _events(stream, listener, reads)
    assert b"listening" in await anext(events)
    said = (await anext(events)).decode()
    assert '"to":"open"' in said
    assert (SECRET in said) == reads
    await events.aclose()  # type: ignore[attr-defined]


def test_lines_of_logs_are_payloads_altogether() -> None:
    assert RIGHTS["list_log_lines"].scope == RIGHTS["stream_log_lines"].scope == KeyScope.PAYLOAD_READ
    assert KeyScope.PAYLOAD_READ not in PRESETS[Preset.VIEWER]


async def test_running_again_tells_nothing_of_the_arguments_of_before(keyed: Keyed, world: World) -> None:
    short = {"type": "object", "properties": {"to": {"maxLength": 3}}, "additionalProperties": {"type": "string"}}
    spec = TaskTypeSpec(name="mine", queue="email", time_limit_seconds=30, positional=("to",), arguments_schema=short)
    async with keyed.spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#2", [spec])
    told = {}
    for name, scopes in (("reads", ["payload:read"]), ("acts", [])):
        made = await keyed.key(name, preset="operator", scopes=scopes)
        async with keyed.caller(made.token) as api:
            answer = await api.post(f"/v1/tasks/{world.failed}/retry")
            own = await api.post(f"/v1/tasks/{world.failed}/retry", json={"args": ["long enough"], "kwargs": {}})
        async with keyed.browser(made.token) as browser:
            page = await browser.post(f"tasks/{world.succeeded}/submit")
            assert page.status_code == 422
            guesses = [
                (
                    await browser.post(f"tasks/{world.failed}/again", reason="x", args=json.dumps([one], indent=2))
                ).status_code
                for one in (SECRET, "another")
            ]
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:pointsman:problem:invalid-arguments")
        assert "long enough" in own.text
        told[name] = (SECRET in answer.text, SECRET in page.text, guesses)
    assert told["reads"][:2] == (True, True)
    assert told["acts"] == (False, False, [403, 403])
