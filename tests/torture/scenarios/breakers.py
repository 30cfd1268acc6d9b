"""Services that tasks depend on die, with Postgres up and away, heal while much is held, flap, refuse."""

import asyncio
import time
from collections import Counter

from pointsman_service.reconcile.ramp import released_by
from tests.torture.installation import Plan
from tests.torture.outside import REFUSED, Outside
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_THRESHOLD, _PERMITS, _SUCCESSES = 5, 3, 3
_RELEASE_PER_SECOND = 20.0
_POLICY = {
    "failure_threshold": _THRESHOLD,
    "recovery_timeout": 2,
    "recovery_timeout_max": 4,
    "recovery_jitter": 0,
    "half_open_permits": _PERMITS,
    "half_open_successes": _SUCCESSES,
    "permit_seconds": 10,
    "release_per_second": _RELEASE_PER_SECOND,
}
_NAME = "outside"
_SUBJECT = f"dependency:{_NAME}"
_BREAKER = f"/v1/breakers/dependency/{_NAME}"
_MAIL_BREAKER = "/v1/breakers/dependency/smtp"
_MAIL_TYPE = "send_reminder_email"
_ALERT_SECONDS = 5.0
_RAMP_SECONDS = 10


@scenario("37", Harm.NONE, Plan(beside=Outside), statuses=(200, 202, 207, 503))
async def breaker(run: Run) -> None:
    """A service dies, with Postgres up and away, heals with much held, flaps; a mail server refuses all messages."""
    outside = run.beside
    assert isinstance(outside, Outside)
    for path in (_BREAKER, _MAIL_BREAKER):
        answer = await run.stack.http.put(path, json=_POLICY)
        run.demand(answer.status_code == 200, f"the policy was not taken: {answer.text[:200]}")
    calls = _Calls(run, outside)
    await calls.submit(40)
    await calls.all_end()
    run.tell("40 calls have succeeded")
    await _dies(run, outside, calls)
    await _heals_with_much_held(run, outside, calls, 5_000 if run.full else 400)
    await _dies_without_postgres(run, outside, calls)
    for _ in range(2):
        await _flaps(run, outside, calls)
    await _mail_is_refused(run, outside)
    await calls.all_end()
    run.say(f"{len(outside.calls)} calls of {len(calls.tasks)} tasks")


class _Calls:
    """The tasks that call the service."""

    def __init__(self, run: Run, outside: Outside) -> None:
        self._run = run
        self._outside = outside
        self.tasks: list[str] = []

    async def submit(self, tasks: int, queue: str = "external_api") -> None:
        """So many more, in batches."""
        body = {"task_type": "torture.call", "args": [self._outside.url], "queue": queue}
        for first in range(0, tasks, 500):
            size = min(500, tasks - first)
            answer = await self._run.stack.http.post("/v1/tasks/batch", json={"tasks": [body] * size})
            self._run.demand(answer.status_code == 202, f"a batch was answered {answer.status_code}")
            self.tasks += [one["task"]["id"] for one in answer.json()["results"]]

    async def states(self) -> Counter[str]:
        """How many are in which state."""
        rows = await self._run.stack.rows(
            "SELECT state, count(*) AS tasks FROM (SELECT state FROM task_live WHERE task_type = 'torture.call'"
            " UNION ALL SELECT state FROM task WHERE task_type = 'torture.call') AS every GROUP BY state"
        )
        return Counter({row["state"]: row["tasks"] for row in rows})

    async def held(self) -> int:
        """How many wait for the breaker."""
        return (await self.states())["held"]

    async def all_end(self, seconds: float = 180.0) -> None:
        """Return once all have succeeded."""

        async def ended() -> bool:
            states = await self.states()
            return states["succeeded"] == len(self.tasks)

        await self._run.until(ended, "all calls to succeed", seconds)


async def _state(run: Run, path: str = _BREAKER) -> str:
    answer = await run.stack.http.get(path)
    return str(answer.json()["state"]) if answer.status_code == 200 else "unknown"


async def _until_state(run: Run, *wanted: str) -> None:
    async def there() -> bool:
        return await _state(run) in wanted

    await run.until(there, f"the breaker to be {' or '.join(wanted)}")
    run.tell(f"the breaker is {' or '.join(wanted)}")


async def _openings(run: Run) -> int:
    rows = await run.stack.rows(
        "SELECT count(*) AS times FROM breaker_transition WHERE name = :name AND after = 'open'", name=_NAME
    )
    return int(rows[0]["times"])


async def _dies(run: Run, outside: Outside, calls: _Calls) -> None:
    """Probes alone reach what is dead; the alert comes once."""
    before = await _openings(run)
    await calls.submit(60)
    died_at = time.monotonic()
    outside.healthy = False
    run.tell("the service answers 503")
    await calls.submit(60)
    await _until_state(run, "open")
    opened_at = time.monotonic()

    async def told() -> bool:
        return bool(outside.messages("alert.opened", _SUBJECT))

    took = await run.until(told, "the alert to arrive")
    run.tell(f"the alert arrived {took:.1f} s after it was seen")
    run.demand(took <= _ALERT_SECONDS, f"the alert came after {took:.1f} s, at most {_ALERT_SECONDS:g} s")
    outside.most_at_once = 0

    async def probed() -> bool:
        return await _openings(run) >= before + 3

    await run.until(probed, "two rounds of probes to fail")
    reached, openings = outside.since(died_at), await _openings(run) - before
    run.tell(f"{reached} calls reached it in {time.monotonic() - died_at:.0f} s, it opened {openings} times")
    _few_calls(run, reached, openings)
    run.demand(outside.most_at_once <= _PERMITS, f"{outside.most_at_once} probes at once, at most {_PERMITS}")
    alerts = outside.messages("alert.opened", _SUBJECT)
    run.demand(len(alerts) == 1, f"{len(alerts)} alerts of one breaker, {time.monotonic() - opened_at:.0f} s open")


def _few_calls(run: Run, reached: int, openings: int) -> None:
    in_flight = run.stack.plan.nodes * run.stack.plan.children
    most = _THRESHOLD + in_flight + _PERMITS * openings
    run.demand(reached <= most, f"{reached} calls reached what was dead, at most {most}")


async def _heals_with_much_held(run: Run, outside: Outside, calls: _Calls, tasks: int) -> None:
    # Thousands would take long beside other work.
    run.load.quiet = run.full
    await calls.submit(tasks)

    async def held() -> bool:
        return await calls.held() >= tasks

    await run.until(held, "all to be held")
    spent = await run.stack.rows(
        "SELECT count(*) AS tasks FROM task_live WHERE task_type = 'torture.call' AND state = 'held' AND attempt = 0"
    )
    run.tell(f"{await calls.held()} tasks are held, {spent[0]['tasks']} of them without an attempt")
    outside.healthy = True
    run.tell("the service is well again")
    await _until_state(run, "closed")
    closed_at, before = time.monotonic(), await calls.held()
    await asyncio.sleep(_RAMP_SECONDS)
    reached, let_go = outside.since(closed_at), before - await calls.held()
    seconds = time.monotonic() - closed_at
    most = released_by(_RELEASE_PER_SECOND, seconds)
    run.tell(f"{let_go} were let go and {reached} calls made in {seconds:.1f} s, the ramp allows {most:.0f}")
    # Probes, and those that wait for their next attempt, are not held.
    run.demand(reached <= most + 20, f"{reached} calls in {seconds:.1f} s, the ramp allows {most:.0f}")
    run.demand(let_go >= min(before, most) * 0.7, f"only {let_go} were let go in {seconds:.1f} s of {most:.0f}")
    await calls.all_end(400.0 if run.full else 180.0)
    run.load.quiet = False
    run.tell("all of them have succeeded")


async def _dies_without_postgres(run: Run, outside: Outside, calls: _Calls) -> None:
    """The breaker opens by what workers count, though nobody can record it."""
    outside.answer_seconds = 0.2
    await calls.submit(100)

    async def some_run() -> bool:
        return (await calls.states())["running"] > 0

    await run.until(some_run, "calls to be under way")
    run.postgres.kill()
    died_at = time.monotonic()
    outside.healthy = False
    run.tell("Postgres is gone, and the service answers 503")
    await run.load.last(max(6.0, run.seconds))
    reached = outside.since(died_at)
    run.tell(f"{reached} calls reached it")
    _few_calls(run, reached, 0)
    run.postgres.start()
    await run.stack.ready()
    run.tell("Postgres is back")
    await _until_state(run, "open", "half_open")
    outside.healthy = True
    outside.answer_seconds = 0.05
    run.tell("the service is well again")
    await calls.all_end()
    await _until_state(run, "closed")


async def _flaps(run: Run, outside: Outside, calls: _Calls) -> None:
    outside.healthy = False
    await calls.submit(30)
    await _until_state(run, "open")
    outside.healthy = True
    await _until_state(run, "closed")
    await calls.all_end()


async def _mail_is_refused(run: Run, outside: Outside) -> None:
    """A breaker of another name opens; nobody else's tasks wait for it."""
    given = [REFUSED, "Refused", "Nobody takes this."]
    sent = [await run.stack.submit(_MAIL_TYPE, args=given) for _ in range(2 * _THRESHOLD)]

    async def opened() -> bool:
        return await _state(run, _MAIL_BREAKER) == "open"

    await run.until(opened, "the breaker of the mail server to open")
    run.tell("the breaker of the mail server is open")
    await _others_go_on(run)
    for task in sent:
        await run.stack.http.post(f"/v1/tasks/{task}/cancel")
    run.tell("the messages are cancelled")


async def _others_go_on(run: Run) -> None:
    """Tasks that need no mail run while its breaker is open."""
    task = await run.stack.submit("torture.effect")
    row = await run.stack.finished(task)
    run.demand(row["state"] == "succeeded", f"a task that needs no mail ended {row['state']}")
