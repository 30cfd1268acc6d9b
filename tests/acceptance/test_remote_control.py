"""Celery's remote control on tasks that were submitted over HTTP: a command does what it answers, or refuses, and every
task ends.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pointsman_contract.queues import UNACKED
from pointsman_contract.states import TERMINAL
from tests.acceptance.conftest import Release
from tests.acceptance.hooked_tasks import told_of
from tests.stand.processes import Child
from tests.stand.stack import Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


class Remote:
    """Commands to one node, or to the stack's only one."""

    def __init__(self, app: Any, node: str | None = None) -> None:
        self.app = app
        self._node = None if node is None else [node]

    def to(self, node: str) -> "Remote":
        """The same to this node."""
        return Remote(self.app, node)

    async def __call__(self, command: str, **arguments: Any) -> Any:
        """What the node answers."""
        answers = await asyncio.to_thread(
            self.app.control.broadcast,
            command,
            arguments=arguments,
            destination=self._node,
            reply=True,
            timeout=10,
            limit=1,
        )
        (answer,) = answers
        (said,) = answer.values()
        return said

    async def say(self, command: str) -> None:
        """Give a command that nobody answers."""
        await asyncio.to_thread(self.app.control.broadcast, command, destination=self._node)


@pytest.fixture
def remote(stack: Stack) -> Iterator[Remote]:
    app = Celery(broker=stack.redis_url, set_as_current=False)
    yield Remote(app)
    app.close()


@pytest.fixture
async def second(stack: Stack, remote: Remote) -> AsyncIterator[tuple[Child, Remote]]:
    """Another node of the pool, which scales itself from one process to three and lets its pool be restarted."""
    name = "second@acceptance"
    node = stack.worker_of("second", "-n", name, "--autoscale", "3,1", "--", "worker_pool_restarts=1")
    node.start()
    to_it = remote.to(name)
    try:

        async def answers() -> bool:
            return bool(await asyncio.to_thread(remote.app.control.ping, [name], timeout=1))

        await until(answers, "the second node to be there")
        yield node, to_it
    finally:
        node.kill()


async def ended(stack: Stack, task: str) -> Row:
    """The task once it has ended."""

    async def found() -> Row | None:
        row = await stack.task(task)
        return row if row["state"] in TERMINAL else None

    return await until(found, f"{task} to end")


async def told(stack: Stack, task: str) -> Row:
    """What Celery's backend says of a plain run once it has ended."""

    async def found() -> Row | None:
        with stack.redis() as client:
            text: Any = client.get(f"celery-task-meta-{task}")
        return json.loads(text) if text else None

    return await until(found, f"a result of {task}")


def held_by_nodes(stack: Stack) -> set[str]:
    """The ids of the messages that nodes have fetched and not acknowledged."""
    with stack.redis() as client:
        messages: Any = client.hvals(UNACKED)
    return {json.loads(message)[0]["headers"]["id"] for message in messages}


async def shrink(remote: Remote) -> None:
    """Take one process away, as soon as one is idle."""

    async def done() -> bool:
        return "ok" in await remote("pool_shrink", n=1)

    await until(done, "an idle process")


def assert_cancelled(row: Row, command: str) -> None:
    assert row["state"] == "cancelled"
    assert row["cancel_requested_by"].startswith(f"celery control {command} on acceptance@")


async def test_a_revoke_cancels_what_has_not_begun_wherever_it_waits(
    stack: Stack, remote: Remote, all_busy: Release
) -> None:
    sent = [await stack.submit("ledger.write", queue="critical") for _ in range(2)]
    asleep = await stack.submit("ledger.write", delay_seconds=3600)
    answer = await remote("revoke", task_id=[*sent, asleep])
    assert "flagged as revoked" in answer["ok"]
    for task in [*sent, asleep]:
        assert_cancelled(await ended(stack, task), "revoke")
    all_busy()
    after = await stack.submit("ledger.write", queue="critical")
    assert (await ended(stack, after))["state"] == "succeeded"
    assert not set(sent) & stack.ledger.effects().keys()


async def test_a_revoke_leaves_what_runs_alone_and_nothing_follows_it(
    stack: Stack, remote: Remote, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    running = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_effects([running])
    await remote("revoke", task_id=running)
    release.touch()
    assert (await ended(stack, running))["state"] == "succeeded"


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL", "SIGUSR1"])
async def test_what_is_terminated_is_cancelled_and_never_runs_again(
    stack: Stack, remote: Remote, tmp_path: Path, signal: str
) -> None:
    running = await stack.submit("ledger.hold", args=[str(tmp_path / "never")])
    await stack.wait_for_state(running, "running")
    await remote("terminate", task_id=running, signal=signal)
    row = await ended(stack, running)
    assert_cancelled(row, "terminate")
    assert (row["attempt"], row["interruptions"], row["error"]["type"] != "WorkerLost") == (1, 0, True)
    assert stack.ledger.effects()[running] == 1


async def test_what_is_revoked_with_terminate_is_cancelled_between_its_attempts_too(
    stack: Stack, remote: Remote
) -> None:
    task = await stack.submit("fail", args=["again"], max_attempts=900)
    await stack.wait_for_state(task, "retrying")
    await remote("revoke", task_id=[task, "not-an-id-of-ours"], terminate=True)
    assert_cancelled(await ended(stack, task), "terminate")


async def test_no_command_keeps_tasks_from_their_end(stack: Stack, remote: Remote) -> None:
    commands: list[tuple[str, dict[str, Any], str]] = [
        ("rate_limit", {"task_name": "ledger.write", "rate_limit": "600/m"}, "ok"),
        ("rate_limit", {"task_name": "ledger.write", "rate_limit": "0"}, "ok"),
        ("rate_limit", {"task_name": "ledger.write", "rate_limit": "-5"}, "error"),
        ("time_limit", {"task_name": "ledger.write", "soft": 20, "hard": 30}, "ok"),
        ("time_limit", {"task_name": "ledger.write", "hard": "soon"}, "error"),
        ("time_limit", {"task_name": "ledger.write", "hard": -1}, "error"),
        ("time_limit", {"task_name": "ledger.write", "soft": 40, "hard": 30}, "error"),
        ("pool_grow", {"n": 1}, "ok"),
        ("pool_grow", {"n": 1000}, "error"),
        ("pool_grow", {"n": -1}, "error"),
        ("pool_shrink", {"n": 1000}, "error"),
        ("pool_shrink", {"n": 0}, "error"),
        ("pool_restart", {}, "error"),
        ("autoscale", {"max": 4, "min": 1}, "error"),
        ("revoke_by_stamped_headers", {"headers": {"tenant": ["42"]}, "terminate": True}, "ok"),
        ("cancel_consumer", {"queue": "maintenance"}, "ok"),
        ("add_consumer", {"queue": "maintenance"}, "ok"),
        ("enable_events", {}, "ok"),
        ("disable_events", {}, "ok"),
    ]
    tasks = []
    for command, arguments, says in commands:
        answer = await remote(command, **arguments)
        assert list(answer) == [says], (command, answer)
        tasks.append(await stack.submit("ledger.write"))
    await shrink(remote)
    for task in tasks:
        assert (await ended(stack, task))["state"] == "succeeded"


async def test_a_pool_that_has_grown_runs_more_at_once_and_says_so(
    stack: Stack, remote: Remote, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    await remote("pool_grow", n=1)
    try:
        held = [await stack.submit("ledger.hold", args=[str(release)]) for _ in range(stack.processes + 1)]
        await stack.wait_for_effects(held)

        async def shown() -> bool:
            (worker,) = (await stack.http.get("/v1/workers")).json()["items"]
            assert (worker["processes"], worker["busy"]) == (stack.processes + 1, stack.processes + 1)
            return True

        await until(shown, "the node to be shown as it is")
    finally:
        release.touch()
    for task in held:
        assert (await ended(stack, task))["state"] == "succeeded"
    await shrink(remote)


async def test_what_waits_for_a_rate_is_let_go_when_that_is_set_anew(stack: Stack, remote: Remote) -> None:
    assert "ok" in await remote("rate_limit", task_name="ledger.write", rate_limit="1/h")
    try:
        sent = [await stack.submit("ledger.write") for _ in range(4)]
        later = remote.app.send_task("ledger.write", queue="maintenance", countdown=1)

        async def kept() -> bool:
            states = sorted([(await stack.task(task))["state"] for task in sent])
            assert states == ["queued"] * 3 + ["succeeded"]
            assert len(held_by_nodes(stack) & set(sent)) == stack.processes
            return True

        await until(kept, "the node to keep what it may not begin")
        for rate in ("1/h", "0"):
            assert "ok" in await remote("rate_limit", task_name="ledger.add", rate_limit=rate)
        assert await kept()
    finally:
        assert "ok" in await remote("rate_limit", task_name="ledger.write", rate_limit="0")
    for task in sent:
        assert (await ended(stack, task))["state"] == "succeeded"
    assert (await told(stack, later.id))["result"] == "maintenance"


async def test_plain_messages_that_wait_or_expire_end_as_with_celery(stack: Stack, remote: Remote) -> None:
    send = partial(remote.app.send_task, "ledger.write", queue="maintenance")
    run = [send(countdown=1), send(countdown=0.5, expires=600), send(expires=600), send(countdown=-5)]
    expire = [send(expires=-1), send(countdown=1, expires=0.5)]
    for one in run:
        assert (await told(stack, one.id))["result"] == "maintenance"
    for one in expire:
        assert (await told(stack, one.id))["status"] == "REVOKED"
    assert stack.ledger.effects().keys() & {one.id for one in expire} == set()


async def test_a_node_that_scales_itself_and_restarts_its_pool_ends_its_tasks(
    stack: Stack, second: tuple[Child, Remote], tmp_path: Path
) -> None:
    _, to_second = second
    release = tmp_path / "release"
    held = [await stack.submit("ledger.hold", args=[str(release)]) for _ in range(stack.processes + 2)]
    await stack.wait_for_effects(held)
    assert "ok" in await to_second("autoscale", max=2, min=1)
    assert "ok" in await to_second("pool_restart")
    release.touch()
    for task in held:
        row = await ended(stack, task)
        assert (row["state"], row["attempt"], row["interruptions"]) == ("succeeded", 1, 0)
    release.unlink()
    after = [await stack.submit("ledger.hold", args=[str(release)]) for _ in range(stack.processes + 1)]
    await stack.wait_for_effects(after)
    release.touch()
    for task in after:
        assert (await ended(stack, task))["state"] == "succeeded"


async def test_what_waits_and_runs_on_a_node_that_is_shut_down_ends(
    stack: Stack, second: tuple[Child, Remote], tmp_path: Path
) -> None:
    node, to_second = second
    release = tmp_path / "release"
    held = [await stack.submit("ledger.hold", args=[str(release)]) for _ in range(2 * stack.processes + 4)]
    later = to_second.app.send_task("ledger.write", queue="maintenance", countdown=4)

    async def both_are_full() -> bool:
        assert len(held_by_nodes(stack) & set(held)) > len(stack.ledger.effects().keys() & set(held)) > stack.processes
        return True

    await until(both_are_full, "both nodes to run tasks and to hold some that wait")
    await to_second.say("shutdown")
    others = [await stack.submit("ledger.write") for _ in range(4)]
    release.touch()
    assert await node.ended() == 0
    for task in [*held, *others]:
        row = await ended(stack, task)
        assert (row["state"], row["attempt"], row["interruptions"]) == ("succeeded", 1, 0)
    assert (await told(stack, later.id))["result"] == "maintenance"


async def test_a_time_limit_that_is_set_says_whom_it_holds_for(stack: Stack, remote: Remote) -> None:
    answer = await remote("time_limit", task_name="ledger.write", soft=20, hard=30)
    assert "plain Celery messages" in answer["ok"]
    assert "timeout_seconds" in answer["ok"]


@pytest.mark.parametrize(
    ("times", "state", "told"),
    [
        (1, "succeeded", ["on_retry TimeLimitExceeded", "after_return SUCCESS"]),
        (
            2,
            "failed",
            ["on_retry TimeLimitExceeded", "on_failure TimeLimitExceeded", "after_return FAILURE"],
        ),
    ],
)
async def test_an_attempt_past_its_hard_limit_is_a_failure_to_its_hooks_only_when_none_follows(
    stack: Stack, times: int, state: str, told: list[str]
) -> None:
    task = await stack.submit("hooks.tells", args=[times])
    assert (await ended(stack, task))["state"] == state
    ledger = told_of(task, stack.ledger.path)

    async def all_told() -> bool:
        assert ledger.read_text().splitlines() == told
        return True

    await until(all_told, "the hooks of the parent and of the children")
