"""Plain Celery beside Pointsman, on the same workers."""

from pathlib import Path

import pytest

from tests.stand.stack import Stack, as_json
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

RUNS = 1 + 3 + 4 + 3 + 1
"""Of ``ledger.add``: delay, chain, group, the head of the chord, the urgent one."""


async def test_plain_celery_gives_its_results_and_is_recorded_as_native(stack: Stack) -> None:
    before = {name: await stack.counters(name) for name in ("ledger.add", "ledger.total")}
    tasks_before = await stack.rows("SELECT count(*) FROM task")

    client = stack.python("-m", "tests.acceptance.native_client")

    assert client.returncode == 0, client.stderr
    results = as_json(client.stdout)
    first_id = results.pop("first_id")
    assert results == {"delay": 3, "chain": 113, "group": [0, 2, 4, 6], "chord": 6, "urgent": 9}

    async def recorded() -> bool:
        after = {name: await stack.counters(name) for name in before}
        added = {name: after[name]["native"] - before[name]["native"] for name in before}
        return added == {"ledger.add": RUNS, "ledger.total": 1}

    await until(recorded, "the native runs to be recorded")
    after = await stack.counters("ledger.add")
    more = {name: after[name] - before["ledger.add"][name] for name in after}
    assert (more["executions"], more["succeeded"], more["submitted"], more["started"]) == (RUNS, RUNS, 0, 0)
    assert (await stack.metrics("ledger.add"))["native"] == after["native"]
    (run,) = await stack.rows("SELECT * FROM native_run WHERE task_id = :id", id=first_id)
    assert (run["task_type"], run["queue"], run["state"]) == ("ledger.add", "maintenance", "SUCCESS")
    assert stack.ledger.effects()[first_id] == 1
    urgent = await stack.rows("SELECT 1 FROM native_run WHERE task_type = 'ledger.add' AND queue = 'critical'")
    assert len(urgent) == 1
    assert await stack.rows("SELECT count(*) FROM task") == tasks_before


async def test_inspect_active_from_another_shell_names_the_running_task(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_effects([running])

    async def named() -> bool:
        answer = stack.celery_from_another_shell("inspect", "active", "--timeout", "3")
        assert answer.returncode == 0, answer.stderr
        return "acceptance@" in answer.stdout and running in answer.stdout

    await until(named, "an answer of the worker")
    release.touch()
    assert (await stack.finished(running))["state"] == "succeeded"
