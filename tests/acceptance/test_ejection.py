"""Two nodes of one pool: one that fails more than the other is taken off its queues, and comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand import invariants
from tests.stand.ledger_tasks import BROKEN
from tests.stand.processes import Child
from tests.stand.stack import QUEUES, Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

QUICK = {"POINTSMAN_CIRCUIT_BREAKER": '{"failure_threshold": 10000, "recovery_timeout": 8, "recovery_jitter": 0}'}
"""A short wait; and what fails everywhere is not held, so that workers are judged by it."""


class Pair:
    """A stack with a second node of its pool."""

    def __init__(self, stack: Stack, broken: Path) -> None:
        self.stack = stack
        self.broken = broken
        words = ["-m", "celery", "-A", "pointsman", "worker", "-Q", ",".join(QUEUES), "-c", "2"]
        words += ["-n", "acceptance-2@%h"]
        words += ["--without-gossip", "--without-mingle", "-l", "WARNING"]
        log = stack.directory / "second.log"
        self.second = Child("second", words, stack.environment | {BROKEN: str(broken)}, log)

    async def worker(self, second: bool = True) -> Row:
        """The newest start of one of the two, as the API shows it."""
        answer = await self.stack.http.get("/v1/workers")
        assert answer.status_code == 200, answer.text
        starts = [one for one in answer.json()["items"] if one["name"].startswith("acceptance-2@") is second]
        assert starts, "it has not beaten yet"
        newest: Row = max(starts, key=lambda one: one["started_at"])
        return newest

    async def until_fetching(self, fetching: bool, second: bool = True) -> Row:
        async def so() -> Row | None:
            found = await self.worker(second)
            return found if found["fetching"] is fetching and found["ejected"] is not fetching else None

        return await until(so, f"fetching to be {fetching}")

    async def ran_on(self, tasks: list[str]) -> set[str]:
        """The names of the nodes where these tasks succeeded."""
        ended = [await self.stack.finished(task) for task in tasks]
        assert {task["state"] for task in ended} == {"succeeded"}
        return {task["worker"].partition("@")[0] for task in ended}

    async def act(self, verb: str, second: bool = True) -> Row:
        name = (await self.worker(second))["name"]
        answer = await self.stack.http.post(f"/v1/workers/{name}/{verb}", json={"reason": "by hand"})
        assert answer.status_code == 200, answer.text
        found: Row = answer.json()
        return found

    async def submit(self, count: int, task_type: str = "ledger.depends") -> list[str]:
        return [await self.stack.submit(task_type, max_attempts=10) for _ in range(count)]


@asynccontextmanager
async def two_nodes(database_url: str, valkey: ValkeyServer, directory: Path, **variables: str) -> AsyncIterator[Pair]:
    async with Stack(database_url, valkey, directory, variables=QUICK | variables) as stack:
        pair = Pair(stack, directory / "broken")
        try:
            pair.second.start()

            async def both() -> bool:
                items = (await stack.http.get("/v1/workers")).json()["items"]
                return len(items) == 2 and all(one["fetching"] for one in items)

            await until(both, "two nodes")
            yield pair
        except BaseException as error:
            error.add_note(f"{stack.last_lines()}\n--- second\n{pair.second.last_lines()}")
            raise
        finally:
            pair.second.kill()


async def test_node_with_a_broken_environment_is_ejected_loses_no_task_and_is_admitted_when_it_heals(
    database_url: str, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with two_nodes(database_url, own_valkey, tmp_path) as pair:
        pair.broken.touch()
        accepted: list[str] = []

        async def ejected() -> bool:
            accepted.extend(await pair.submit(10))
            return bool((await pair.worker())["ejected"])

        await until(ejected, "the broken node to be ejected")
        shown = await pair.until_fetching(False)
        assert "calls failed; as other workers do" in shown["ejected_reason"]
        assert shown["ejected_since"] < shown["ejected_until"]
        assert (await pair.worker(second=False))["ejected"] is False
        meanwhile = await pair.submit(20)
        assert await pair.ran_on(meanwhile) == {"acceptance"}

        pair.broken.unlink()

        async def admitted() -> bool:
            accepted.extend(await pair.submit(5))
            found = await pair.worker()
            return not found["ejected"] and not found["on_probation"]

        await until(admitted, "the healed node to be admitted")
        await invariants.drain(pair.stack)
        accepted += meanwhile
        await invariants.check(pair.stack, accepted)
        assert await pair.ran_on(accepted) == {"acceptance", "acceptance-2"}
        name = (await pair.worker())["name"]
        history = (await pair.stack.http.get(f"/v1/breakers/worker/{name}/history")).json()["items"]
        moves = [(one["from"], one["to"]) for one in reversed(history)]
        assert (moves[0], moves[-1]) == (("closed", "open"), ("half_open", "closed"))


async def test_type_that_fails_everywhere_ejects_nobody(
    database_url: str, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with two_nodes(database_url, own_valkey, tmp_path) as pair:
        failing = [await pair.stack.submit("ledger.flaky", args=[9], max_attempts=1) for _ in range(60)]
        for task in failing:
            assert (await pair.stack.finished(task))["state"] == "failed"
        # Each pass asks Redis at its end who is known to be ejected, and nobody else lists the keys of a hash.
        asked: set[int] = set()

        async def judged() -> bool:
            with pair.stack.redis() as connection:
                asked.add(connection.info("commandstats")["cmdstat_hkeys"]["calls"])
            return len(asked) > 2

        await until(judged, "the sweep to have passed")
        assert await pair.stack.rows("SELECT name FROM breaker WHERE scope = 'worker'") == []


@pytest.mark.parametrize("transport", ["pointsman", "stock"])
async def test_ejected_by_hand_it_stays_off_through_restarts_of_api_and_node(
    database_url: str, own_valkey: ValkeyServer, tmp_path: Path, transport: str
) -> None:
    async with two_nodes(database_url, own_valkey, tmp_path, POINTSMAN_TRANSPORT=transport) as pair:
        assert (await pair.act("eject"))["warning"] is None
        await pair.until_fetching(False)
        assert await pair.ran_on(await pair.submit(20)) == {"acceptance"}

        await pair.stack.service.stop()
        pair.stack.service.start()
        await until(pair.stack.is_ready, "the service to be back")
        before = await pair.worker()
        await pair.second.stop()
        pair.second.start()

        async def back() -> bool:
            found = await pair.worker()
            return bool(found["pid"] != before["pid"] and found["fetching"] is False)

        await until(back, "the node to beat again")
        assert await pair.ran_on(await pair.submit(20)) == {"acceptance"}

        warned = await pair.act("eject", second=False)
        assert warned["warning"].startswith("No live worker is left on critical, ")
        await pair.until_fetching(False, second=False)
        waiting = await pair.submit(5)
        assert (await pair.act("admit"))["ejected"] is False
        assert await pair.ran_on(waiting) == {"acceptance-2"}
        await invariants.drain(pair.stack)
