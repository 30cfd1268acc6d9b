"""One caller's inputs are bad, and a deploy is broken: others' tasks are in time, and what is broken is held soon."""

import asyncio
import time

from tests.torture.installation import Plan
from tests.torture.scenario import Run, scenario
from tests.torture.tasks import BROKEN_DEPLOY
from tests.torture.verdict import Harm

_TYPE = "torture.digest"
_BREAKER = f"/v1/breakers/task_type/{_TYPE}"
_GOOD_A_SECOND = 10.0
_NOISE_SECONDS = 0.1
"""What a machine that is busy with other things adds to a wait."""
_SHARES = {0.01: 1.2, 0.1: 1.5, 0.5: 2.0}
"""Of all inputs, and how many times as long as without them the good ones may wait."""
_CALLS_OF_A_BROKEN_DEPLOY = 20
_RUNS_AGAIN_SECONDS = 15.0


@scenario("38", Harm.DEATHS, Plan(nodes=2, children=2))
async def bad_inputs(run: Run) -> None:
    """A share of one caller's inputs is bad, a hundred come at once, a deploy is broken and mended."""
    # The default policy. The stand has another, so that what fails for one test does not hold another's tasks.
    answer = await run.stack.http.put(_BREAKER, json={})
    run.demand(answer.status_code == 200, f"the policy was not taken: {answer.text[:200]}")
    run.load.quiet = True
    seconds = max(20.0, run.seconds)
    without = await _good_ones_beside(run, "none", 0.0, seconds)
    for share, most in _SHARES.items():
        with_them = await _good_ones_beside(run, f"{share:.0%}", share, seconds)
        ratio = with_them / without
        run.say(f"{share:.0%} bad: good ones wait {ratio:.2f} times as long")
        allowed = most * without + _NOISE_SECONDS
        run.demand(with_them <= allowed, f"{share:.0%} bad: good ones wait {with_them:.2f} s, at most {allowed:.2f} s")
    await _many_at_once(run)
    await _broken_deploy(run)
    run.load.quiet = False


async def _good_ones_beside(run: Run, phase: str, share: float, seconds: float) -> float:
    """The 99th percentile of how long good tasks waited, beside bad ones of another caller that are this share."""
    chance = share / (1 - share)
    sent: list[asyncio.Task[None]] = []
    began, debt = time.monotonic(), 0.0
    for number in range(int(seconds * _GOOD_A_SECOND)):
        await asyncio.sleep(max(0.0, began + number / _GOOD_A_SECOND - time.monotonic()))
        sent.append(asyncio.create_task(_submit(run, phase, "good")))
        debt += chance
        while debt >= 1 or (number == 0 and share):
            debt -= 1
            sent.append(asyncio.create_task(_submit(run, phase, "bad")))
            if number == 0:
                break
    await asyncio.gather(*sent)
    return await _wait_of_good(run, phase)


async def _submit(run: Run, phase: str, value: str) -> None:
    await run.stack.submit(_TYPE, args=[value], tags={"tenant": value, "phase": phase})


async def _batch(run: Run, phase: str, value: str, tasks: int) -> None:
    one = {"task_type": _TYPE, "args": [value], "tags": {"tenant": value, "phase": phase}}
    answer = await run.stack.http.post("/v1/tasks/batch", json={"tasks": [one] * tasks})
    run.demand(answer.status_code == 202, f"a batch was answered {answer.status_code}")


async def _all_end(run: Run, phase: str) -> None:
    async def ended() -> bool:
        rows = await run.stack.rows(
            "SELECT count(*) AS tasks FROM task_live WHERE task_type = :type AND tags ->> 'phase' = :phase",
            type=_TYPE,
            phase=phase,
        )
        return bool(rows[0]["tasks"] == 0)

    await run.until(ended, f"all tasks of {phase} to end", 120)


async def _wait_of_good(run: Run, phase: str) -> float:
    await _all_end(run, phase)
    states = await run.stack.rows(
        "SELECT tags ->> 'tenant' AS tenant, state, count(*) AS tasks FROM task WHERE task_type = :type"
        " AND tags ->> 'phase' = :phase GROUP BY 1, 2",
        type=_TYPE,
        phase=phase,
    )
    right = all(row["state"] == ("succeeded" if row["tenant"] == "good" else "failed") for row in states)
    run.demand(right, f"{phase}: tasks ended {states}")
    rows = await run.stack.rows(
        "SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - submitted_at)::float8)"
        " AS p99, max(extract(epoch FROM started_at - submitted_at)::float8) AS longest, count(*) AS tasks"
        " FROM task WHERE task_type = :type AND tags ->> 'phase' = :phase AND tags ->> 'tenant' = 'good'",
        type=_TYPE,
        phase=phase,
    )
    p99, longest = float(rows[0]["p99"]), float(rows[0]["longest"])
    run.tell(
        f"{phase}: {rows[0]['tasks']} good ones waited {p99:.3f} s at the 99th percentile, {longest:.3f} s at most"
    )
    return p99


async def _many_at_once(run: Run) -> None:
    """As in the incident that this rule comes from, ten times over."""
    await _batch(run, "burst", "bad", 100)
    await _batch(run, "burst", "good", 50)
    p99 = await _wait_of_good(run, "burst")
    run.say(f"behind a hundred bad ones good ones wait {p99:.1f} s")
    run.demand(p99 <= 10.0, f"behind a hundred bad ones good ones wait {p99:.1f} s")


async def _deploy(run: Run, **variables: str) -> None:
    for node in run.stack.nodes:
        await node.stop()
    for node in run.stack.nodes:
        node.start(**variables)


async def _broken_deploy(run: Run) -> None:
    await _deploy(run, **{BROKEN_DEPLOY: "1"})
    await run.stack.ready()
    (before,) = await run.stack.rows("SELECT now() AS at")
    run.tell("a broken deploy is out")
    await _batch(run, "broken", "good", 200)

    async def held() -> bool:
        rows = await run.stack.rows(
            "SELECT count(*) AS tasks FROM task_live WHERE task_type = :type AND state = 'held' AND attempt = 0",
            type=_TYPE,
        )
        # A few are tried.
        return bool(rows[0]["tasks"] >= 150)

    await run.until(held, "the others to be held")
    (opened,) = await run.stack.rows(
        "SELECT min(at) AS at FROM breaker_transition WHERE name = :type AND before = 'closed' AND at >= :since",
        type=_TYPE,
        since=before["at"],
    )
    calls = await _calls(run, opened["at"])
    run.say(f"a broken deploy is called {calls} times before its type is held")
    run.demand(
        calls <= _CALLS_OF_A_BROKEN_DEPLOY,
        f"a broken deploy was called {calls} times, at most {_CALLS_OF_A_BROKEN_DEPLOY}",
    )

    async def opened_for_good() -> bool:
        return bool((await run.stack.http.get(_BREAKER)).json()["state"] == "open")

    await run.until(opened_for_good, "the breaker to be open")
    run.tell(f"{calls} calls until it was held, {await _calls(run, None)} until it was open")
    await _deploy(run)
    mended_at = time.monotonic()

    async def runs_again() -> bool:
        rows = await run.stack.rows(
            "SELECT count(*) AS tasks FROM task WHERE task_type = :type AND tags ->> 'phase' = 'broken'"
            " AND state = 'succeeded'",
            type=_TYPE,
        )
        return bool(rows[0]["tasks"])

    await run.until(runs_again, "it to run again")
    took = time.monotonic() - mended_at
    run.say(f"it runs again {took:.1f} s after its mended workers are started")
    run.demand(took <= _RUNS_AGAIN_SECONDS, f"it ran again after {took:.1f} s, at most {_RUNS_AGAIN_SECONDS:g} s")
    await run.stack.ready()
    await _all_end(run, "broken")


async def _calls(run: Run, until: object) -> int:
    """Attempts of the broken deploy that began until then."""
    rows = await run.stack.rows(
        "SELECT count(*) AS calls FROM task_attempt a JOIN task_live t ON t.id = a.task_id WHERE t.task_type = :type"
        " AND t.tags ->> 'phase' = 'broken' AND a.started_at <= coalesce(CAST(:until AS timestamptz), now())",
        type=_TYPE,
        until=until,
    )
    return int(rows[0]["calls"])
