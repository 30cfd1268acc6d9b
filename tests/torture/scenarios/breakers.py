"""What tasks depend on dies, and heals."""

import asyncio
import time
from typing import Any

from tests.peers.http import HTTPPeer, Reply
from tests.torture.installation import Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_THRESHOLD = 5
_PERMITS = 2
_RATE = 20.0
_RAMP_SECONDS = 10.0
_WELL, _BROKEN = Reply(200, b"well"), Reply(503, b"broken")


class _Dependency:
    """An HTTP service, the tasks that call it, and its circuit breaker."""

    def __init__(self, run: Run, peer: HTTPPeer) -> None:
        self._run = run
        self._peer = peer
        self.path = f"/v1/breakers/dependency/127.0.0.1:{peer.port}"
        self.tasks: list[str] = []
        peer.on("/work", _WELL)

    async def prepare(self) -> None:
        policy = {
            "failure_threshold": _THRESHOLD,
            "recovery_timeout": 2.0,
            "recovery_timeout_max": 2.0,
            "half_open_permits": _PERMITS,
            "release_per_second": _RATE,
        }
        answer = await self._run.stack.http.put(self.path, json=policy)
        assert answer.status_code == 200, answer.text

    async def submit(self, count: int) -> None:
        kwargs = {"method": "POST", "url": f"{self._peer.url}/work"}
        task = {"task_type": "http_request", "kwargs": kwargs, "max_attempts": 60}
        answer = await self._run.stack.http.post("/v1/tasks/batch", json={"tasks": [task] * count})
        assert answer.status_code == 202, answer.text
        self.tasks += [result["task"]["id"] for result in answer.json()["results"]]

    def dies(self) -> None:
        self._peer.on("/work", _BROKEN)
        self._peer.requests.clear()

    def heals(self) -> None:
        self._peer.on("/work", _WELL)
        self._peer.requests.clear()

    @property
    def calls(self) -> int:
        return len(self._peer.requests)

    async def openings(self) -> int:
        rows = await self._run.stack.rows("SELECT count(*) AS n FROM breaker_transition WHERE after = 'open'")
        return int(rows[0]["n"])

    async def held(self) -> int:
        rows = await self._run.stack.rows("SELECT count(*) AS n FROM task_live WHERE held_reason LIKE 'breaker:%'")
        return int(rows[0]["n"])

    async def ended(self) -> list[dict[str, Any]]:
        return await self._run.stack.rows(
            "SELECT state, attempt, held_seconds FROM task WHERE task_type = 'http_request'"
        )


@scenario("31", Harm.NONE, Plan(variables={"POINTSMAN_ALLOW_PRIVATE_TARGETS": "true"}))
async def breaker(run: Run) -> None:
    """A service that tasks call dies, stays away over many probes, and heals."""
    with HTTPPeer() as peer:
        dependency = _Dependency(run, peer)
        await dependency.prepare()
        await dependency.submit(20)

        async def all_ended() -> bool:
            return len(await dependency.ended()) == len(dependency.tasks)

        await run.until(all_ended, "the first calls")
        dependency.dies()
        await dependency.submit(500)

        async def is_open() -> bool:
            return await dependency.openings() > 0

        took = await run.until(is_open, "the breaker to open")
        run.say(f"opened after {took:.1f} s and {dependency.calls} calls")
        await run.load.last(run.seconds)
        openings, calls = await dependency.openings(), dependency.calls
        processes = run.stack.processes
        most = _THRESHOLD + processes + _PERMITS * (await dependency.openings())
        run.demand(calls <= most, f"{calls} calls reached what was down, at most {most}")
        run.say(
            f"{calls} calls while it was down, {openings - 1} rounds of probes, {await dependency.held()} tasks held"
        )
        dependency.heals()
        await run.until(_is_closed(run, dependency), "the breaker to close")
        closed_at, before = time.monotonic(), dependency.calls
        await asyncio.sleep(_RAMP_SECONDS)
        seconds = time.monotonic() - closed_at
        reached = dependency.calls - before
        ramp = _RATE * 5 * (2 ** (seconds // 5) - 1) + _RATE * 2 ** (seconds // 5) * (seconds % 5)
        # Those that were retrying were not held.
        spare = 1 + calls + processes
        run.demand(
            reached <= ramp + spare, f"{reached} calls in {seconds:.1f} s after it healed, the ramp allows {ramp:.0f}"
        )
        run.say(f"{reached} calls in the first {seconds:.0f} s after it healed, the ramp allows {ramp:.0f}")
        await run.until(all_ended, "every task to end")
        ended = await dependency.ended()
        run.demand({row["state"] for row in ended} == {"succeeded"}, "a task that was held did not succeed")
        spent = sum(row["attempt"] - 1 for row in ended)
        run.demand(spent <= calls, f"{spent} attempts were spent on {calls} calls")


def _is_closed(run: Run, dependency: _Dependency) -> Any:
    async def closed() -> bool:
        answer = await run.stack.http.get(dependency.path)
        return bool(answer.json()["state"] == "closed")

    return closed
