"""The whole of Pointsman on servers of its own, as child processes: PostgreSQL and Valkey as ``./scripts/up`` runs
them (fsync and append-only file on), the API in one process, every loop in another, worker nodes on demand.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis
from asyncpg.exceptions import DeadlockDetectedError  # type: ignore[import-untyped]  # ships no types
from celery import Celery

from pointsman_contract import keys
from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY, STEPS, list_key
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.benchmark.database import Database
from tests.benchmark.process import Process, cpu_seconds
from tests.stand.environment import ROOT
from tests.stand.site import Site
from tests.stand.waiting import until_now

QUEUE = "maintenance"
"""Where a task without queue and priority goes."""
PREFETCH_MULTIPLIER = 4
"""Celery's default, on both sides."""
OWN_PREFETCH_MULTIPLIER = 1
"""That of the nodes which ``./scripts/up`` and the topology start, where nobody says another."""
_LOOPS = ("dispatcher", "recorder", "reconciler")
SERVICE = ("api", *_LOOPS)
"""Names of the control plane's own processes."""
_START_SECONDS = 60.0
_TRIES = 20
_SETTLE_SECONDS = 0.5
"""Longer than an API process and the dispatcher need to see that the queues are empty."""
_UNVACUUMED = "SELECT relname FROM pg_stat_user_tables WHERE last_vacuum IS NULL AND n_ins_since_vacuum > 0 ORDER BY 1"
_LONGEST_SETTLING_SECONDS = 120.0
_CALM_SECONDS, _CALM_SHARE = 5.0, 0.25
"""Calm is whoever takes no more than such a share of a core for so long."""
_EMPTIED = (
    "task_live", "task", "task_attempt", "outbox", "idempotency_key", "native_run", "task_metrics",
    "task_metrics_delta", "task_metrics_hour", "task_metrics_day", "task_metrics_by_minute", "task_metrics_by_hour",
    "task_metrics_by_day",
)  # fmt: skip


class Node:
    """A worker node that can be told to fetch nothing."""

    def __init__(self, broker_url: str, queue: str) -> None:
        self._app = Celery(broker=broker_url)
        self._queue = queue

    def pause(self) -> None:
        """Fetch nothing until ``resume``."""
        self._tell("cancel_consumer")

    def resume(self) -> None:
        """Fetch again."""
        self._tell("add_consumer")

    def _tell(self, command: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._app.control.broadcast(
            command, arguments={"queue": self._queue}, reply=True, limit=1, timeout=2.0
        ):
            if time.monotonic() > deadline:
                raise SystemExit(f"no worker of {self._queue} answers")


class Stack:
    """A context manager; at its end no process and no file is left.

    ``checkout``: where the code of its processes is, when it is not the one beside this file. ``variables``: settings
    of its processes. ``token``: a key, of an admin, that callers show; without it nobody is asked for one.
    """

    def __init__(
        self, checkout: Path = ROOT, variables: Mapping[str, str] | None = None, token: str | None = None
    ) -> None:
        self._checkout = checkout
        self.token = token
        self._variables = variables or {}
        self._exits = ExitStack()
        self.processes: dict[str, int] = {}
        """Name to process id, of everything that runs now."""
        self._living: dict[str, Process] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-bench-")))
            self._directory = directory
            logs = directory / "logs"
            logs.mkdir()
            postgres = exits.enter_context(PostgresServer(directory / "postgres"))
            valkey = exits.enter_context(ValkeyServer(directory / "valkey"))
            self._postgres = postgres
            self.processes |= {"postgres": postgres.pid, "valkey": valkey.pid}
            self.redis_url = valkey.url
            self.database_url = postgres.url
            self.api_url = f"http://{HOST}:{free_port()}"
            quiet = {
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
                **self._variables,
            }
            self._site = Site(
                postgres.url, valkey.url, directory / "data", logs, checkout=self._checkout, variables=quiet
            )
            self.environment = self._site.environment
            self.run("migrate", self._site.service("migrate"))
            if self.token is not None:
                key = directory / "key"
                key.touch(mode=0o600)
                key.write_text(self.token, encoding="ascii")
                self.run("provide", self._site.service("keys", "provide", f"bench=admin@{key}"))
            self.dsn = postgres.dsn_of()
            """For another connection than ``database``."""
            self.database = exits.enter_context(Database(self.dsn))
            self._redis = exits.enter_context(redis.Redis.from_url(valkey.url))
            self.http = exits.enter_context(httpx.Client(base_url=self.api_url, timeout=60, trust_env=False))
            if self.token is not None:
                self.http.headers["Authorization"] = f"Bearer {self.token}"
            self._start_service(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @contextmanager
    def managed_worker(self, processes: int = 4, prefetch: int = PREFETCH_MULTIPLIER) -> Iterator[Node]:
        """A worker node of Pointsman on the queue of the bench, which holds ``prefetch`` messages a process."""
        with self._worker("worker", None, processes, {}, "-Q", QUEUE, "--prefetch-multiplier", str(prefetch)):
            yield Node(self.redis_url, QUEUE)

    @contextmanager
    def bare_worker(
        self, name: str, database: int, *, results: int | None = None, processes: int = 4
    ) -> Iterator[Node]:
        """A worker of a Celery application that knows nothing of Pointsman, on Redis databases of its own.

        With ``results``, the database of the results, it also sends task events.
        """
        url = self.bare_url(database)
        environment = {"BENCH_BROKER_URL": url}
        options: tuple[str, ...] = ()
        if results is not None:
            environment["BENCH_RESULTS_URL"] = self.bare_url(results)
            options = ("-E",)
        with self._worker(name, "tests.benchmark.peers.bare_celery", processes, environment, *options):
            yield Node(url, "celery")

    def bare_url(self, database: int) -> str:
        """The Valkey of this stack, another database: plain Celery's keys can be counted there."""
        return f"{self.redis_url.removesuffix('/0')}/{database}"

    def new_database(self, name: str) -> tuple[str, str]:
        """The libpq URI and the SQLAlchemy URL of a database of its own on the PostgreSQL of this stack."""
        return self._postgres.dsn_of(name), self._postgres.create_database(name)

    @contextmanager
    def pools(self) -> Iterator[None]:
        """A worker node for each pool of the default topology, as ``./scripts/up`` starts them."""
        with ExitStack() as exits:
            for pool in DEFAULT_TOPOLOGY.pools:
                exits.enter_context(self.started(f"worker_{pool.name}", worker_words(pool)))
            self.wait(lambda: len(self.living_nodes()) == len(DEFAULT_TOPOLOGY.pools), "the pools")
            yield

    def empty(self, tables: Sequence[str] = _EMPTIED) -> None:
        """No tasks, no messages, nothing counted, and PostgreSQL's buffers written: every round starts the same. With
        other ``tables`` only these are emptied.
        """
        self._truncate(tables)
        lists = [list_key(queue.name, step) for queue in DEFAULT_TOPOLOGY.queues for step in STEPS]
        self._redis.delete(*lists, "unacked", "unacked_index")
        claims = list(self._redis.scan_iter(keys.CLAIM_PREFIX + "*", count=5000))
        for start in range(0, len(claims), 5000):
            self._redis.delete(*claims[start : start + 5000])
        self.database.execute("CHECKPOINT")
        time.sleep(_SETTLE_SECONDS)

    def settle(self) -> None:
        """Do at once what PostgreSQL would do in the minutes after very much was written, beside whatever is measured
        then: vacuum what nobody has vacuumed since, and write its buffers. Then wait until the service has caught up,
        too: until all of its processes and its servers take little for some seconds, two minutes at most.
        """
        for table in self.database.column(_UNVACUUMED):
            self.database.execute(f"VACUUM (ANALYZE) {table}")
        self.database.execute("CHECKPOINT")
        deadline = time.monotonic() + _LONGEST_SETTLING_SECONDS
        while time.monotonic() < deadline:
            before = sum(self.cpu_seconds().values())
            time.sleep(_CALM_SECONDS)
            if sum(self.cpu_seconds().values()) - before < _CALM_SHARE * _CALM_SECONDS:
                break

    def stored(self) -> int:
        """Tasks in PostgreSQL, ended or not."""
        return int(self.database.value("SELECT (SELECT count(*) FROM task_live) + (SELECT count(*) FROM task)"))

    def ended(self) -> int:
        """Tasks recorded as ended."""
        return int(self.database.value("SELECT count(*) FROM task"))

    def sent(self) -> int:
        """Tasks that wait on the broker, not in PostgreSQL."""
        return int(self.database.value("SELECT count(*) FROM task_live WHERE place = 'sent'"))

    def stream_length(self) -> int:
        """Events in the stream of the epoch that is open."""
        epoch = self._redis.hget(keys.CONTROL, "epoch")
        assert isinstance(epoch, bytes)
        return int(self._redis.xlen(keys.events(int(epoch))))

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time each process with its children has used since it started."""
        return {name: cpu_seconds(pid) for name, pid in self.processes.items()}

    def redis_commands(self) -> int:
        """Commands that Valkey has run since it started, also those of scripts."""
        return sum(one["calls"] for one in self._redis.info("commandstats").values())

    @contextmanager
    def statements_logged(self) -> Iterator[Callable[[], list[str]]]:
        """For the length of the block PostgreSQL logs every statement. Gives a function that answers the lines since it
        began, each after the name of the application and ``|``.
        """
        log = self._postgres.log_path
        self._configure("SET log_line_prefix = '%a|'", "SET log_statement = 'all'")
        start = log.stat().st_size

        def lines() -> list[str]:
            with log.open("rb") as stream:
                stream.seek(start)
                return stream.read().decode(errors="replace").splitlines()

        try:
            yield lines
        finally:
            self._configure("RESET log_line_prefix", "RESET log_statement")

    @contextmanager
    def configured(self, settings: Mapping[str, str]) -> Iterator[None]:
        """For the length of the block PostgreSQL has these settings, of those that need no restart."""
        self._configure(*(f"SET {name} = '{value}'" for name, value in settings.items()))
        try:
            yield
        finally:
            self._configure(*(f"RESET {name}" for name in settings))

    @contextmanager
    def another_api(self) -> Iterator[httpx.Client]:
        """One more API process, for the length of the block: it lives, and nobody has asked it anything else."""
        port = free_port()
        with (
            self.started("another_api", self._site.service("api", port=port)),
            httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60, trust_env=False) as http,
        ):
            self.wait(lambda: self._answers("/livez", http), "another API")
            yield http

    def living_nodes(self) -> list[str]:
        """The nodes that answer, of whichever application."""
        return [one for answer in Celery(broker=self.redis_url).control.ping(timeout=1.0) or [] for one in answer]

    def _configure(self, *changes: str) -> None:
        for change in changes:
            self.database.execute(f"ALTER SYSTEM {change}")
        self.database.execute("SELECT pg_reload_conf()")

    def _truncate(self, wanted: Sequence[str]) -> None:
        """The loops go on meanwhile, and take the locks of these tables in another order. A checkout of before has not
        all of them.
        """
        there = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
        tables = ", ".join(self.database.column(there, list(wanted)))
        for _ in range(_TRIES):
            try:
                self.database.execute(f"TRUNCATE {tables}")
            except DeadlockDetectedError:
                continue
            return
        raise SystemExit(f"the tables could not be emptied in {_TRIES} tries")

    def _start_service(self, exits: ExitStack) -> None:
        port = int(self.api_url.rpartition(":")[2])
        exits.enter_context(self.started("api", self._site.service("api", port=port)))
        for loop in _LOOPS:
            exits.enter_context(self.started(loop, self._site.service(loop)))
        self.wait(lambda: self._answers("/livez"), "the API")
        with self.managed_worker(processes=1):
            # A task type is known from then on, also when no worker runs.
            self.wait(lambda: self._answers("/v1/task-types/noop"), "the task types")
            self.wait(lambda: self._redis.hget(keys.CONTROL, "open") == b"1", "the broker's epoch")

    def _answers(self, path: str, http: httpx.Client | None = None) -> bool:
        try:
            return (http or self.http).get(path).status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def _worker(
        self, name: str, application: str | None, processes: int, environment: Mapping[str, str], *options: str
    ) -> Iterator[None]:
        words = self._site.worker(
            "-n", "bench@%h", "-P", "prefork", "-c", str(processes),
            "--prefetch-multiplier", str(PREFETCH_MULTIPLIER), *options,
            application=application, quiet=True,
        )  # fmt: skip
        with self.started(name, words, environment):
            yield

    def run(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """A child process to its end. Raises SystemExit when that is not a good one."""
        self._process(name, words, environment).wait(_START_SECONDS)

    def running(
        self, name: str, *words: str, environment: Mapping[str, str] | None = None
    ) -> AbstractContextManager[None]:
        """A Python module as a child process, for the length of a block. Raises SystemExit when it ends before."""
        return self.started(name, ("-m", *words), environment)

    @contextmanager
    def started(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[None]:
        """As ``running``, with all words for the Python interpreter."""
        process = self._process(name, words, environment)
        self.processes[name] = process.pid
        self._living[name] = process
        try:
            yield
            process.require_alive()
        finally:
            del self.processes[name], self._living[name]
            process.end()

    @contextmanager
    def expendable(self, name: str, words: Sequence[str]) -> Iterator[Process]:
        """As ``started``, and it may be killed meanwhile."""
        process = self._process(name, words)
        try:
            yield process
        finally:
            process.end()

    def _process(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        return self._site.child(name, words, Process, environment)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Return when ``condition`` holds. Raises SystemExit with all logs after a minute."""

        def look() -> bool:
            if condition():
                return True
            for process in self._living.values():
                process.require_alive()
            return False

        try:
            until_now(look, what, _START_SECONDS, pause_seconds=0.1)
        except AssertionError as error:
            logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in self._site.logs.iterdir())
            raise SystemExit(f"{error}\n{logs}") from None
