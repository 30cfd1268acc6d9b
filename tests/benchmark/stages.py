"""What each stage of the hot path costs the API process: CPU time a submission, in µs.

HTTP is a bare ASGI application under the same uvicorn, loaded like ours. The other stages run in this process, each
alone and many times, with the parts of a real API process on a real PostgreSQL and Valkey; a commit and a publication
are shared by as many submissions as meet in one when 64 callers wait.
"""

import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import uuid_utils
import uvloop
from pydantic import SecretStr

from pointsman_service.admit.submission import Submission, parse_submission
from pointsman_service.api.bodies.body import parse_json
from pointsman_service.api.parts import Parts
from pointsman_service.api.tasks.receipt import receipt
from pointsman_service.app import Process, Role
from pointsman_service.callers import LOCAL
from pointsman_service.settings import Settings
from pointsman_service.store.tasks import submitting
from pointsman_service.store.tasks.submitting import NewTask
from pointsman_service.submit.writer import envelope_of
from tests.benchmark.intake import BODY, CONNECTIONS
from tests.benchmark.load import Generator
from tests.benchmark.peers import running
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import play
from tests.benchmark.stack import Stack

_GROUP = CONNECTIONS // 2
"""Submissions of a commit: two commits in flight share those that wait."""
_SHOWN = ("http", "parse", "admit", "commit", "receipt", "publish", "sum", "whole")


def run(quick: bool) -> Report:
    """Seven rounds; each stage as often as gives a steady figure."""
    times = 2_000 if quick else 10_000
    with Stack() as stack, running.bare_asgi(stack) as bare_url:
        bench = _Stages(stack, bare_url, times, 2.0 if quick else 5.0)
        found = play(bench.round, 3 if quick else 7)
    return Report(
        name="stages",
        rounds=found,
        shown=_SHOWN,
        unit="µs of CPU a task",
        notes=[
            f"commit, publish: of {_GROUP} submissions, shared by them; the API process's own part of it",
            "sum: of the stages; whole: what the API process took under load, with its loops",
        ],
    )


class _Stages:
    def __init__(self, stack: Stack, bare_url: str, times: int, seconds: float) -> None:
        self._stack = stack
        self._bare_url = bare_url
        self._times = times
        self._seconds = seconds
        self._generator = Generator()

    def round(self, _: int) -> Round:
        self._stack.empty()
        http = self._loaded("bare_asgi", self._bare_url)
        whole = self._loaded("api", f"{self._stack.api_url}/v1/tasks")
        self._stack.empty()
        alone = uvloop.run(self._in_process())
        return {"http": http, **alone, "sum": round(http + sum(alone.values()), 1), "whole": whole}

    def _loaded(self, process: str, url: str) -> float:
        before = self._stack.cpu_seconds()[process]
        load = self._generator.run(url, BODY, CONNECTIONS, self._seconds)
        return round(1e6 * (self._stack.cpu_seconds()[process] - before) / load.accepted, 1)

    async def _in_process(self) -> Round:
        settings = Settings(
            database_url=SecretStr(self._stack.database_url),
            redis_url=SecretStr(self._stack.redis_url),
            data_dir=Path(self._stack.environment["POINTSMAN_DATA_DIR"]),
        )
        process = Process(settings, {Role.API})
        assert process.parts is not None
        async with process.running():
            return await _Parts(process.parts, self._times).measure()


class _Parts:
    """The stages of this process, one by one."""

    def __init__(self, parts: Parts, times: int) -> None:
        self._parts = parts
        self._times = times

    async def measure(self) -> Round:
        parts = self._parts
        await parts.catalogue.refresh()
        epoch = (await parts.broker.depths()).epoch
        assert epoch is not None
        submission = self._parse()
        task = await parts.submitter.admit(LOCAL, submission, None, None)
        task = replace(task, sent_epoch=epoch)
        now = await self._commit(self._group(task))
        commits = max(self._times // _GROUP, 20)
        groups = iter([self._group(task) for _ in range(commits)])
        envelopes = [envelope_of(one) for one in self._group(task)]
        gc.collect()
        return {
            "parse": self._cost(self._parse),
            "admit": await self._cost_of_awaiting(
                lambda: parts.submitter.admit(LOCAL, submission, None, None), self._times
            ),
            "commit": await self._cost_of_awaiting(lambda: self._commit(next(groups)), commits) / _GROUP,
            "receipt": self._cost(lambda: receipt(task, now)),
            "publish": await self._cost_of_awaiting(lambda: parts.broker.publish(envelopes, epoch), commits) / _GROUP,
        }

    def _parse(self) -> Submission:
        return parse_submission(parse_json(BODY, self._parts.settings.json_depth), Submission)

    def _group(self, task: NewTask) -> list[NewTask]:
        return [replace(task, id=str(uuid_utils.uuid7())) for _ in range(_GROUP)]

    async def _commit(self, tasks: Sequence[NewTask]) -> datetime:
        async with self._parts.store.statement() as connection:
            stored = await submitting.store(connection, tasks, [], self._parts.settings.idempotency_seconds)
        return stored.submitted_at

    def _cost(self, stage: Callable[[], object]) -> float:
        since = time.process_time()
        for _ in range(self._times):
            stage()
        return round(1e6 * (time.process_time() - since) / self._times, 2)

    async def _cost_of_awaiting(self, stage: Callable[[], Awaitable[object]], times: int) -> float:
        since = time.process_time()
        for _ in range(times):
            await stage()
        return round(1e6 * (time.process_time() - since) / times, 2)
