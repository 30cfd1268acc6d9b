"""The control plane's own processes die, freeze, are replaced."""

import asyncio
import itertools
from functools import partial

from pointsman_contract import keys
from pointsman_contract.failpoints import VARIABLE
from pointsman_contract.message import VERSION
from tests.stand.processes import Child
from tests.stand.stack import QUEUES
from tests.torture.installation import APART, Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_TWO = Plan(services=("all", "all"))


async def _dies_at(run: Run, child: Child, place: str, times: int, latest: int) -> None:
    """Start the process so that it dies at a place, and again when it has."""
    for _ in range(times):
        child.kill()
        at = run.random.randint(1, latest)
        child.start(**{VARIABLE: f"{place}=kill@{at}"})
        status = await child.ended()
        run.demand(status == -9, f"{child.name} ended with {status} and not at {place}")
    child.start()
    run.say(f"{times} times at {place}")
    await run.stack.ready()


@scenario("1", Harm.NONE)
async def api_killed_before_commit(run: Run) -> None:
    """The API dies when a group commit is about to be written."""
    await _dies_at(run, run.stack.service, "api.committing", 3, 40)


@scenario("2", Harm.NONE)
async def api_killed_after_commit(run: Run) -> None:
    """The API dies after a commit, before it answered or published, and after it published."""
    await _dies_at(run, run.stack.service, "api.committed", 2, 40)
    await _dies_at(run, run.stack.service, "api.published", 2, 40)


@scenario("3", Harm.NONE, Plan(services=APART))
async def dispatcher_killed(run: Run) -> None:
    """The dispatcher dies between its commit and publishing, and between publishing and the outbox."""
    dispatcher = run.stack.role("dispatcher")
    await _dies_at(run, dispatcher, "dispatcher.sent", 2, 4)
    await _dies_at(run, dispatcher, "dispatcher.published", 2, 4)


@scenario("20", Harm.NONE, Plan(services=APART))
async def recorder_killed(run: Run) -> None:
    """The recorder dies inside its transaction, and between its commit and the trim of the stream."""
    recorder = run.stack.role("recorder")
    await _dies_at(run, recorder, "recorder.recording", 3, 20)
    await _dies_at(run, recorder, "recorder.committed", 3, 20)


@scenario("21", Harm.NONE, _TWO, statuses=(200, 202, 503), answers_within_seconds=30)
async def leader_frozen(run: Run) -> None:
    """Two of every loop; the process that leads is frozen past its lead and wakes up again."""
    for _ in range(2):
        leader = await _leader(run)
        leader.freeze()
        try:
            took = await run.until(partial(_all_led_by_others, run, leader), "another leader")
            await run.load.last(1.0)
        finally:
            leader.thaw()
        run.say(f"another led after {took:.1f} s")
        await run.load.more(30)


async def _leader(run: Run) -> Child:
    rows = await run.stack.rows("SELECT holder FROM leader WHERE name = 'recorder'")
    pid = int(rows[0]["holder"].split(":")[1])
    return next(child for child in run.stack.services if child.pid == pid)


async def _all_led_by_others(run: Run, frozen: Child) -> bool:
    rows = await run.stack.rows("SELECT name, holder, expires_at > now() AS holds FROM leader")
    return all(row["holds"] and int(row["holder"].split(":")[1]) != frozen.pid for row in rows)


@scenario("22", Harm.NONE, _TWO)
async def rolling_restarts(run: Run) -> None:
    """Waves of SIGTERM over service processes and worker nodes, as in a deploy."""
    for _ in range(2):
        for child in [*run.stack.services, *run.stack.nodes]:
            status = await child.stop()
            run.demand(status == 0, f"{child.name} ended with {status} after SIGTERM")
            child.start()
            await run.stack.ready()
    run.say("two waves")


@scenario("26", Harm.NONE)
async def rolling_deploy(run: Run) -> None:
    """Workers of the first contract run beside new ones and leave; one of two versions away is refused at start."""
    first = run.stack.other("first", ["-m", "tests.torture.first_contract.worker", *QUEUES])
    first.start()

    async def has_run(more: int = 20) -> bool:
        ran = sum(one.pid == first.pid for runs in run.effects.executions().values() for one in runs)
        return ran >= more

    await run.until(has_run, "the worker of the first contract to run tasks")
    await run.load.more(60)
    # A deploy replaces the workers one by one.
    await run.stack.nodes[0].stop()
    await run.load.more(60)
    run.stack.nodes[0].start()
    await run.stack.ready()
    run.demand(await first.stop() == 0, "the worker of the first contract did not leave in order")
    run.stack.others.remove(first)
    ran = sum(one.pid == first.pid for runs in run.effects.executions().values() for one in runs)
    run.say(f"{ran} tasks by a worker of the first contract")
    await _is_refused(run, VERSION + 2)
    await run.load.more(20)


async def _is_refused(run: Run, version: int) -> None:
    """A worker starts while the control plane, which is frozen, seems to be of another version."""
    log = run.directory / "far.log"
    words = ["-m", "celery", "-A", "pointsman", "worker", "-c", "1", "-n", "far@%h", "-l", "WARNING"]
    far = Child("far", words, run.stack.environment, log)
    run.stack.service.freeze()
    try:
        with run.stack.redis() as connection:
            connection.hset(keys.CONTROL, "contract", version)
        far.start()
        status = await far.ended()
        run.demand(status not in (0, -9), f"a worker two versions away ended with {status}")
        run.demand(f"contract version {version}" in log.read_text(), "it did not say why")
    finally:
        far.kill()
        run.stack.service.thaw()
    await run.stack.ready()


@scenario("29", Harm.DEATHS)
async def everything_killed(run: Run) -> None:
    """The API and a worker node are killed every three seconds in turn."""
    victims = itertools.cycle([run.stack.service, run.stack.nodes[0]])
    kills = 0
    async with asyncio.timeout(120):
        for victim in itertools.islice(victims, max(4, round(run.seconds / 1.5))):
            await run.load.last(run.random.uniform(1.0, 3.0))
            victim.kill()
            victim.start()
            kills += 1
    run.say(f"{kills} kills")
    await run.stack.ready()
