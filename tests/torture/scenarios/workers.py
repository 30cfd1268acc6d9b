"""Worker processes die, freeze, hang, are poisoned."""

import os
import signal
import time
from functools import partial

from pointsman_contract.failpoints import VARIABLE
from pointsman_contract.states import TERMINAL
from tests.stand.stack import Row
from tests.torture.installation import Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_RUNNING_AGAIN_SECONDS = 20.0
"""What the design promises for a node that is killed, at default settings."""


@scenario("4", Harm.DEATHS)
async def message_lost_by_worker(run: Run) -> None:
    """A node takes messages off the broker and is killed before it could note them as unacknowledged."""
    for _ in range(3):
        node = run.random.choice(run.stack.nodes)
        # Redis answers the waiting BRPOP of a frozen process all the same.
        node.freeze_all()
        await run.load.more(40)
        node.kill()
        node.start()
        await run.load.more(20)
    await run.stack.ready()


@scenario("5", Harm.DEATHS)
async def children_killed(run: Run) -> None:
    """Worker children are killed in the midst of tasks, again and again."""
    killed = 0
    until = time.monotonic() + run.seconds
    while time.monotonic() < until:
        await run.load.more(run.random.randint(3, 15))
        children = run.stack.nodes[run.random.randrange(len(run.stack.nodes))].children()
        if children:
            _kill(run.random.choice(children))
            killed += 1
    run.say(f"{killed} children")


@scenario("6", Harm.DEATHS)
async def node_killed(run: Run) -> None:
    """A whole node is killed while it runs tasks, and does not come back until they run elsewhere."""
    node, other = run.stack.nodes
    release = run.directory / "release"
    other.freeze_all()
    held = [await run.stack.submit("torture.hold", args=[str(release)], queue="critical") for _ in range(2)]
    await run.until(partial(_have_begun, run, held, 1), "the tasks to begin on the one node")
    node.kill()
    other.thaw_all()
    took = await run.until(partial(_have_begun, run, held, 2), "them to run again")
    release.touch()
    node.start()
    run.say(f"its tasks ran again after {took:.1f} s")
    run.demand(took <= _RUNNING_AGAIN_SECONDS, f"they ran again after {took:.1f} s, at most 20 s")
    for _ in range(2):
        victim = run.random.choice(run.stack.nodes)
        await run.load.more(run.random.randint(10, 40))
        victim.kill()
        victim.start()
    await run.stack.ready()
    for task in held:
        row = await run.stack.finished(task)
        run.demand(row["state"] == "succeeded", f"{task} ended {row['state']}")


async def _have_begun(run: Run, tasks: list[str], times: int) -> bool:
    counts = run.effects.counts()
    return all(counts[task] >= times for task in tasks)


@scenario("7", Harm.DEATHS)
async def killed_after_the_effect(run: Run) -> None:
    """Children die after the body ended, before they reported it; the rerun is an attempt of its own."""
    await _nodes_with(run, "worker.ran", 25, 60)


@scenario("8", Harm.NONE)
async def killed_after_the_outcome(run: Run) -> None:
    """Children die after the outcome was reported, before the message was acknowledged."""
    await _nodes_with(run, "worker.reported", 25, 60)


@scenario("7", Harm.DEATHS)
async def killed_after_the_claim(run: Run) -> None:
    """Children die with an attempt claimed that their slot does not show yet."""
    await _nodes_with(run, "worker.claimed", 25, 60)


async def _nodes_with(run: Run, place: str, earliest: int, latest: int) -> None:
    """Every child of every node dies when it gets to the place for the so-and-so-manieth time."""
    before: set[int] = set()
    for node in run.stack.nodes:
        at = run.random.randint(earliest, latest)
        await node.stop()
        node.start(**{VARIABLE: f"{place}=kill@{at}"})
    await run.stack.ready()
    for node in run.stack.nodes:
        before |= set(node.children())

    async def all_replaced() -> bool:
        return not before & {child for node in run.stack.nodes for child in node.children()}

    await run.until(all_replaced, f"every child to die at {place}", 180)
    for node in run.stack.nodes:
        await node.stop()
        node.start()
    await run.stack.ready()
    run.say(f"{len(before)} children and more")


@scenario("9", Harm.LOSS)
async def node_frozen(run: Run) -> None:
    """A node is frozen past its lease while it runs tasks, which run elsewhere; then it wakes up."""
    node, other = run.stack.nodes
    release = run.directory / "release"
    other.freeze_all()
    held = [await run.stack.submit("torture.hold", args=[str(release)], queue="critical") for _ in range(2)]
    await run.until(partial(_have_begun, run, held, 1), "the tasks to begin on the one node")
    node.freeze_all()
    other.thaw_all()
    took = await run.until(partial(_have_begun, run, held, 2), "them to run again")
    run.say(f"ran again after {took:.1f} s")
    release.touch()
    for task in held:
        row = await run.stack.finished(task)
        run.demand(row["state"] == "succeeded", f"{task} ended {row['state']}")
    node.thaw_all()
    await run.stack.ready()
    await run.load.more(60)


@scenario("34", Harm.DEATHS)
async def stopped_while_tasks_run(run: Run) -> None:
    """Nodes are made to go while tasks in their last attempt run: by SIGQUIT, and by SIGTERM to all their processes."""
    node, other = run.stack.nodes
    for name, send in (("quit", _quit), ("term", _terminate_all)):
        release = run.directory / f"release-{name}"
        other.freeze_all()
        words = {"args": [str(release)], "queue": "critical", "max_attempts": 1}
        held = [await run.stack.submit("torture.hold", **words) for _ in range(2)]
        await run.until(partial(_have_begun, run, held, 1), "the tasks to begin on the one node")
        other.thaw_all()
        send(node.pid)
        took = await run.until(partial(_have_begun, run, held, 2), "them to run again")
        run.say(f"ran again after {took:.1f} s")
        release.touch()
        for task in held:
            row = await run.stack.finished(task)
            told = (row["state"], row["attempt"], row["interruptions"])
            run.demand(told == ("succeeded", 2, 1), f"{task} ended {told}")
        await node.ended()
        node.start()
        await run.stack.ready()
    spent = await run.stack.rows("SELECT count(*) AS tasks FROM task_attempt WHERE error_type = 'WorkerLost'")
    run.demand(spent[0]["tasks"] == 0, f"{spent[0]['tasks']} attempts were spent")
    breakers = await run.stack.rows("SELECT name FROM breaker WHERE name = 'torture.hold' AND seen <> 'closed'")
    run.demand(not breakers, "the breaker of the task type opened")
    await run.load.more(40)


@scenario("10", Harm.DEATHS)
async def poison(run: Run) -> None:
    """Tasks that kill their process every time, by a signal, by leaving, by a fault of memory."""
    poisons = [await run.stack.submit("torture.die", args=[how]) for how in ("kill", "exit", "segv")]
    for task in poisons:
        row = await run.stack.finished(task)
        told = (row["state"], row["attempt"], (row["error"] or {}).get("type"))
        run.demand(told == ("failed", 4, "WorkerLost"), f"the poison {task} ended {told}")
        attempts = await run.stack.http.get(f"/v1/tasks/{task}/attempts")
        run.demand(len(attempts.json()["items"]) >= 4, f"{task} shows {len(attempts.json()['items'])} attempts")
    await run.load.more(40)


@scenario("11", Harm.DEATHS)
async def hanging(run: Run) -> None:
    """Tasks hang past their hard limit: in a loop, deaf to the soft limit, inside a C call."""
    hung = [await run.stack.submit("torture.hang", args=[how], timeout_seconds=2) for how in ("loop", "deaf", "c")]
    for task in hung:
        row = await run.stack.finished(task)
        told = (row["state"], (row["error"] or {}).get("type"))
        run.demand(told == ("failed", "TimeLimitExceeded"), f"the hanging {task} ended {told}")
    await run.load.more(40)


@scenario("30", Harm.DEATHS, Plan(nodes=2, children=2, variables={"POINTSMAN_PREFETCH_MULTIPLIER": "4"}))
async def container_killed_by_one_task(run: Run) -> None:
    """One task takes its whole node down each time it runs; the node is started again each time."""
    killer = await run.stack.submit("torture.kill_parent", queue="reports")
    deaths = 0

    async def ended() -> Row | None:
        nonlocal deaths
        for node in run.stack.nodes:
            if not node.is_running:
                deaths += 1
                node.kill()
                node.start()
        row = await run.stack.task(killer)
        # It waits until its pool has nothing else.
        run.load.quiet = row["state"] == "held"
        return row if row["state"] in TERMINAL else None

    await run.until(ended, "the task to end", 240)
    run.load.quiet = False
    row = await run.stack.task(killer)
    told = (row["state"], (row["error"] or {}).get("type"))
    run.say(f"{deaths} nodes died")
    run.demand(told == ("failed", "Interrupted"), f"it ended {told}")
    for node in run.stack.nodes:
        if not node.is_running:
            node.kill()
            node.start()
    await run.stack.ready()
    spent = await run.stack.rows("SELECT count(*) AS tasks FROM task_attempt WHERE error_type = 'WorkerLost'")
    run.demand(spent[0]["tasks"] == 0, f"{spent[0]['tasks']} attempts of its neighbours were spent")


def _quit(node: int) -> None:
    os.kill(node, signal.SIGQUIT)


def _terminate_all(node: int) -> None:
    os.killpg(node, signal.SIGTERM)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
