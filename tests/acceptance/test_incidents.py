"""Incidents of one ordinary night, made by real processes: the first screen names each, and what can be done.

What is over stays on the screen for as much as half a minute: the second test waits for the end of what the first was
told, and the last for its own and that of the second.
"""

import json
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.acceptance.first_page import said_of, told
from tests.stand.stack import Row, Stack
from tests.stand.waiting import SLOWEST, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

LEDGER, HOOKED = "tests.stand.ledger_tasks", "tests.acceptance.hooked_tasks"
_SECONDS = SLOWEST * 20.0
"""From when a cause can be known until the first page names it: its alert has to be sure, and its look is shared."""
_BEHIND = 13
_MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
async def night(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """An installation with one node of one process, whose breakers open at the third failure."""
    directory = tmp_path_factory.mktemp("night")
    database = postgres.start().create_database(template=migrated_template)
    variables = {
        "POINTSMAN_ALERT_INTERVAL_SECONDS": "0.5",
        "POINTSMAN_CIRCUIT_BREAKER": json.dumps({"failure_threshold": 3, "recovery_timeout": 600}),
    }
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        modules = (LEDGER, HOOKED)
        async with Stack(database, valkey, directory, processes=1, variables=variables, modules=modules) as stack:
            yield stack


async def test_a_slow_task_that_fills_its_pool_is_named_with_what_waits_behind_it(night: Stack, tmp_path: Path) -> None:
    released, release = tmp_path / "released", tmp_path / "release"
    released.touch()
    for _ in range(5):
        await night.finished(await night.submit("ledger.hold", args=[str(released)], queue="critical"))
    holding = await night.submit("ledger.hold", args=[str(release)], queue="critical")
    await night.wait_for_effects([holding])
    behind = [await night.submit("ledger.write", queue="critical") for _ in range(_BEHIND)]
    try:
        words = (
            "critical: its one process has been busy for ",
            " with ledger.hold",
            " (usual p95 ",
            "13 tasks wait behind it.",
        )
        cause = await told(night, "backlog_old", "critical", *words, seconds=2 * _SECONDS)
        cancel = next(remedy for remedy in cause["remedies"] if remedy["act"] == "cancel_task")
        assert (cancel["link"]["kind"], cancel["link"]["name"]) == ("task", holding)
    finally:
        release.touch()
    for task_id in (holding, *behind):
        assert (await night.finished(task_id))["state"] == "succeeded"


async def test_redis_that_is_full_is_named_with_what_fills_it_and_nothing_else_is(night: Stack) -> None:
    await _over(night)
    with night.redis() as connection:
        used = int(connection.info("memory")["used_memory"])
        # As much again as there is of somebody else's, and a limit that this nearly reaches.
        connection.set("somebody-elses", "x" * (8 * _MEGABYTE))
        connection.config_set("maxmemory", int((used + 8 * _MEGABYTE) * 1.1))
    waiting: list[str] = []
    try:
        words = ("Redis is full: ", " % of its memory is used.")
        await told(night, "broker_full", "", *words, seconds=_SECONDS)
        waiting += [await night.submit("ledger.write", queue="critical") for _ in range(3)]
        cause = await told(night, "broker_full", "", *words, "3 tasks wait.", seconds=_SECONDS)
        assert " take " in said_of(cause), "what fills it"
        kinds = [one["kind"] for one in (await _now(night))["causes"]]
        assert kinds == ["broker_full"], "what it leads to is told beneath it"
    finally:
        with night.redis() as connection:
            connection.delete("somebody-elses")
            connection.config_set("maxmemory", 0)
    for task_id in waiting:
        assert (await night.finished(task_id))["state"] == "succeeded"


async def test_a_task_type_with_a_bug_is_named_with_the_line_and_an_example(night: Stack) -> None:
    # Those after the third are tried one by one, as other inputs may do; then the rest is held.
    submitted = [await night.submit("ledger.priced", args=[{"number": place}], queue="email") for place in range(8)]

    words = (
        "ledger.priced always fails since ",
        "KeyError: 'price_cents' at stand/ledger_tasks.py:",
        "No input succeeds: ",
    )
    cause = await told(night, "breaker_open", "task_type:ledger.priced", *words, seconds=2 * _SECONDS)

    assert "A new version of it was published at " not in said_of(cause), "its first is not new"
    assert cause["error"]["task_id"] in submitted
    example = await night.task(cause["error"]["task_id"])
    assert 'return order["price_cents"]' in example["error"]["traceback"]
    assert cause["error"]["group_id"] == example["error"]["group"]
    again = next(remedy for remedy in cause["remedies"] if remedy["act"] == "retry_tasks")
    assert again["link"]["filter"] == {"state": "failed", "error_group": example["error"]["group"]}

    closed = {"reason": "to look at one with a price"}
    answer = await night.http.post("/v1/breakers/task_type/ledger.priced/force-close", json=closed)
    assert answer.status_code == 200, answer.text
    good = await night.submit("ledger.priced", args=[{"price_cents": 100}], queue="email", priority=10)
    assert (await night.finished(good))["state"] == "succeeded"
    for _ in range(8):
        await night.submit("ledger.priced", args=[{}], queue="email")
    others = ("ledger.priced has failed since ", "Other inputs succeed: ")
    await told(night, "breaker_open", "task_type:ledger.priced", *others, seconds=2 * _SECONDS)


async def test_a_task_type_that_no_node_knows_any_more_is_named_with_who_had_it(night: Stack) -> None:
    (known,) = [one["name"] for one in (await night.http.get("/v1/workers")).json()["items"]]
    await night.finished(await night.submit("hooks.options", queue="email"))
    night.worker.kill()
    # Somebody forgot a module.
    fewer = night.other("fewer", list(night.site.worker("-Q", "email", "-n", "fewer@%h", "-c", "1")))
    fewer.start(POINTSMAN_TASK_MODULES=LEDGER)
    held = [await night.submit("hooks.options", queue="email") for _ in range(3)]
    for task_id in held:
        await night.wait_for_state(task_id, "held")

    words = ("3 tasks are held: no live node of email knows hooks.options", f"It was last published by {known} at ")
    cause = await told(night, "unknown_task_type", "hooks.options@email", *words, seconds=2 * _SECONDS)

    assert ", which was last seen " in said_of(cause)
    assert "They go on by themselves once a worker of the queue has it" in said_of(cause)
    # While both share the queue either may meet a task, and it is tried again in ten seconds.
    fewer.kill()
    night.worker.start()
    for task_id in held:
        assert (await night.finished(task_id))["state"] == "succeeded"
    await _over(night, but=("breaker_open", "error_new", "worker_lost"))


async def _now(stack: Stack) -> Row:
    found: Row = (await stack.http.get("/v1/now")).json()
    return found


async def _over(stack: Stack, but: Collection[str] = ()) -> None:
    """What is over is told no longer; ``but`` may go on."""

    async def so() -> bool:
        told_still = [cause for cause in (await _now(stack))["causes"] if cause["kind"] not in but]
        assert not told_still, told_still
        return True

    await until(so, "nothing else to be told")
