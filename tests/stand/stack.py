"""A whole installation: service processes and worker nodes as child processes, and windows to look at them from
outside.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pointsman_contract.run_file import RunFile
from pointsman_contract.states import TERMINAL
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.environment import ROOT
from tests.stand.ledger import VARIABLE, Ledger
from tests.stand.processes import Child
from tests.stand.site import Site
from tests.stand.waiting import DEADLINE_SECONDS, until

QUEUES = ("critical", "high_priority", "email", "reports", "external_api", "maintenance")
COUNTERS = (
    "submitted", "started", "executions", "succeeded", "failed", "cancelled", "expired", "retried", "timed_out",
    "interrupted", "duplicates", "native", "sla_met", "sla_missed",
)  # fmt: skip
GONE = (httpx.NetworkError, httpx.ProtocolError)
"""What a client sees of a service that is not there. No answer in time is something else."""
_ANSWER_SECONDS = 30.0
_FRESH = "interval '8 seconds'"
"""A worker that was seen since then lives."""

Row = dict[str, Any]


class Stack:
    """One running Pointsman on a given database and Valkey; an async context manager that leaves no process behind.

    ``services`` are the roles of its service processes, one each, and ``nodes`` the names of its worker nodes, which
    have ``processes`` each and know the tasks of ``modules``. ``variables`` are settings of every process.
    """

    _start_seconds = DEADLINE_SECONDS

    def __init__(
        self,
        database_url: str,
        valkey: ValkeyServer,
        directory: Path,
        processes: int = 2,
        variables: Mapping[str, str] | None = None,
        *,
        modules: Sequence[str] = ("tests.stand.ledger_tasks",),
        services: Sequence[str] = ("all",),
        nodes: Sequence[str] = ("acceptance",),
    ) -> None:
        self.valkey = valkey
        self.directory = directory
        self.processes = processes * len(nodes)
        """In which tasks run at once, of all nodes."""
        self.ledger = Ledger(directory / "ledger")
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.redis_url = valkey.url
        own = {
            "POINTSMAN_TASK_MODULES": ",".join(modules),
            "POINTSMAN_API_URL": self.url,
            # Tests share it, and what fails for one of them must not hold the tasks of another.
            "POINTSMAN_CIRCUIT_BREAKER": '{"failure_threshold": 10000}',
            VARIABLE: str(self.ledger.path),
        }
        self.site = Site(database_url, valkey.url, directory, directory, variables=own | dict(variables or {}))
        self.environment = self.site.environment
        self.urls: list[str] = []
        """Of its API processes."""
        self._roles = tuple(services)
        self.services = [self._service(number, role) for number, role in enumerate(services, 1)]
        self.nodes = [self.worker_of(name, "-n", f"{name}@%h", "-c", str(processes)) for name in nodes]
        self.others: list[Child] = []
        self.service, self.worker = self.services[0], self.nodes[0]
        self._engine = create_async_engine(database_url, poolclass=NullPool)
        self._database_url = database_url
        self.http = self.client()

    def _child(self, name: str, words: Sequence[str]) -> Child:
        return self.site.child(name, words, Child)

    def _service(self, number: int, role: str) -> Child:
        if role not in ("all", "api"):
            return self._child(f"{role}{number}", self.site.service(role))
        port = self.port if not self.urls else free_port()
        self.urls.append(f"http://{HOST}:{port}")
        return self._child(f"{role}{number}", self.site.service(role, port=port))

    def role(self, name: str) -> Child:
        """The service process of that role."""
        return self.services[self._roles.index(name)]

    def other(self, name: str, words: list[str]) -> Child:
        """One more process, not started yet; killed at the end."""
        child = self._child(name, words)
        self.others.append(child)
        return child

    def worker_of(self, name: str, *words: str) -> Child:
        """A worker node on all queues, not started; whoever starts another than ``worker`` ends it."""
        return self._child(name, self.site.worker("-Q", ",".join(QUEUES), *words))

    def client(self, url: str | None = None, seconds: float = _ANSWER_SECONDS) -> httpx.AsyncClient:
        """A client of the API, or of one of its processes, with connections of its own, to be closed."""
        return httpx.AsyncClient(base_url=url or self.url, timeout=seconds, trust_env=False)

    async def prepare(self) -> None:
        """Do what is to be done before anything starts."""

    async def __aenter__(self) -> Self:
        try:
            await self.prepare()
            for child in self._children:
                child.start()
            await self.ready()
        except BaseException as error:
            error.add_note(self.last_lines())
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.kill()
        await self.http.aclose()
        await self._engine.dispose()

    def last_lines(self) -> str:
        """What its processes said last."""
        return "\n".join(f"--- {child.name}\n{child.last_lines()}" for child in self._children)

    @property
    def _children(self) -> list[Child]:
        return [*self.services, *self.nodes, *self.others]

    async def ready(self) -> None:
        """Return once every process runs and a task submitted now would run at once."""
        await until(self.is_ready, "the stack to be ready", self._start_seconds)

    async def is_ready(self) -> bool:
        """Whether a task submitted now would run at once, on any of the API processes and any of the nodes; fails when
        a process has ended.
        """
        for child in self._children:
            if not child.is_running:
                raise RuntimeError(f"{child.name} ended")
        for url in self.urls:
            try:
                answer = await self.http.get(f"{url}/readyz?verbose")
            except GONE:
                return False
            if answer.status_code != 200 or not all(part["ok"] for part in answer.json()["parts"].values()):
                return False
        if len(self.nodes) == 1:
            return True
        living = await self.rows(f"SELECT pid FROM worker WHERE last_seen_at > now() - {_FRESH}")
        return {row["pid"] for row in living} >= {node.pid for node in self.nodes}

    async def answers(self) -> bool:
        """Whether the API can be reached."""
        try:
            return (await self.http.get("/livez")).status_code == 200
        except GONE:
            return False

    async def submit(self, task_type: str, **fields: Any) -> str:
        """Submit one task; its id."""
        answer = await self.http.post("/v1/tasks", json={"task_type": task_type, **fields})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def task(self, task_id: str) -> Row:
        """A task as the API shows it."""
        answer = await self.http.get(f"/v1/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        found: Row = answer.json()
        return found

    async def finished(self, task_id: str) -> Row:
        """The task once it is in a terminal state."""

        async def ended() -> Row | None:
            found = await self.task(task_id)
            return found if found["state"] in TERMINAL else None

        return await until(ended, f"task {task_id} to finish")

    async def wait_for_state(self, task_id: str, state: str) -> Row:
        """The task once it is in that state."""

        async def there() -> Row | None:
            found = await self.task(task_id)
            return found if found["state"] == state else None

        return await until(there, f"task {task_id} to be {state}")

    async def wait_for_effects(self, task_ids: Iterable[str]) -> None:
        """Return once each task has begun to run."""
        wanted = set(task_ids)

        async def begun() -> bool:
            return wanted <= self.ledger.effects().keys()

        await until(begun, f"{len(wanted)} tasks to begin")

    async def rows(self, sql: str, **parameters: Any) -> list[Row]:
        """What a query on the database finds."""
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(text(sql), parameters)).mappings()]

    async def execute(self, sql: str, **parameters: Any) -> None:
        """Do something to the database behind the service's back."""
        async with self._engine.begin() as connection:
            await connection.execute(text(sql), parameters)

    async def counters(self, task_type: str | None = None) -> dict[str, int]:
        """The sums of TaskMetrics in the database, of one task type or of all."""
        sums = ", ".join(f"coalesce(sum({name}), 0)::int AS {name}" for name in COUNTERS)
        columns = f"task_type, {', '.join(COUNTERS)}"
        (found,) = await self.rows(
            f"SELECT {sums} FROM (SELECT {columns} FROM task_metrics"
            f" UNION ALL SELECT {columns} FROM task_metrics_delta) AS every"
            " WHERE CAST(:task_type AS text) IS NULL OR task_type = :task_type",
            task_type=task_type,
        )
        return found

    async def metrics(self, task_type: str) -> Row:
        """TaskMetrics of one task type as the API shows them; zeros when it has none."""
        answer = await self.http.get("/v1/metrics/tasks", params={"group_by": "task_type"})
        assert answer.status_code == 200, answer.text
        items: list[Row] = answer.json()["items"]
        return next((item for item in items if item["task_type"] == task_type), {})

    def redis(self) -> redis.Redis:
        """A connection to the broker, to be closed."""
        return redis.Redis.from_url(self.redis_url, decode_responses=True)

    def python(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``python …`` to its end, beside the stack."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )

    def celery_from_another_shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``celery -A pointsman …`` with nothing but ``run.json`` to find the broker."""
        RunFile(
            supervisor_pid=os.getpid(), database_url=self._database_url, redis_url=self.redis_url, api_url=self.url
        ).write(self.directory)
        return self.python("-c", _WITHOUT_URLS, *words)


_WITHOUT_URLS = (
    "import os, runpy, sys; os.environ.pop('POINTSMAN_REDIS_URL'); os.environ.pop('POINTSMAN_DATABASE_URL');"
    "sys.argv = ['celery', '-A', 'pointsman', *sys.argv[1:]]; runpy.run_module('celery', run_name='__main__')"
)


def as_json(text_: str) -> Any:
    """The last line of a program's output, as JSON."""
    return json.loads(text_.splitlines()[-1])
