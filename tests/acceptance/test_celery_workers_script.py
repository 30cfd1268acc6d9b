"""``scripts/celery_workers.sh`` at a terminal, beside a real service, Valkey and PostgreSQL.

``CELERY_WORKERS_TRANSCRIPT=docs/transcripts/celery_workers.txt`` makes the first test write down its session.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psutil
import pytest

from pointsman_contract.queues import DEFAULT_TOPOLOGY, PoolSpec, Topology
from pointsman_contract.run_file import RunFile
from pointsman_service.embedded.valkey import ValkeyServer
from tests.acceptance.terminal import Ended, Program, Transcript
from tests.stand import invariants
from tests.stand.environment import ROOT, inherited
from tests.stand.load import Load
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

SCRIPT = ROOT / "scripts" / "celery_workers.sh"
MARK = "CELERY_WORKERS_TEST_MARK"
SECONDS = 150.0
"""One run of the script: starting two nodes takes five seconds alone, and much more on a busy machine."""

TOPOLOGY = Topology(
    queues=DEFAULT_TOPOLOGY.queues,
    pools=(
        PoolSpec(
            name="general",
            queues=("critical", "high_priority", "reports", "external_api", "maintenance"),
            processes=2,
            prefetch_multiplier=4,
        ),
        PoolSpec(name="email", queues=("email",), processes=1),
    ),
)
"""The usual queues in two nodes, so that the tests are cheap."""


class Operator(Stack):
    """An installation without workers, and a person at a terminal who starts them."""

    def __init__(self, database_url: str, valkey: ValkeyServer, directory: Path) -> None:
        self.mark = uuid4().hex
        self.logs = directory / "the logs"
        (directory / "pointsman.json").write_text(json.dumps({"topology": TOPOLOGY.model_dump(mode="json")}))
        variables = {
            "POINTSMAN_CONFIG": str(directory / "pointsman.json"),
            "POINTSMAN_LOGS_DIR": self.logs.name,
            "POINTSMAN_START_SECONDS": "100",
            MARK: self.mark,
        }
        super().__init__(database_url, valkey, directory, variables=variables)
        self.transcript = Transcript(
            {str(self.logs): "logs", str(directory): ".", str(ROOT): ".", f"@{socket.gethostname()}": "@host-1"}
        )

    async def __aenter__(self) -> Self:
        self.service.start()
        await until(self.answers, "the API to answer")
        return self

    async def __aexit__(self, *error: Any) -> None:
        for process in self.daemons():
            process.kill()
        await super().__aexit__(*error)

    def type(self, *words: str, variables: Mapping[str, str] | None = None) -> Program:
        """Run the script from another directory than its own."""
        return Program([str(SCRIPT), *words], {**self.environment, **(variables or {})}, self.directory)

    async def run(self, *words: str, variables: Mapping[str, str] | None = None) -> Ended:
        """Run the script to its end."""
        ended = await asyncio.to_thread(self.type(*words, variables=variables).wait_end, SECONDS)
        self.transcript.add(" ".join(["./scripts/celery_workers.sh", *words]), ended)
        return ended

    async def follow_logs(self, *words: str, until_said: str) -> Ended:
        """Run ``logs`` until it has shown that, then press Ctrl-C."""

        def watch() -> Ended:
            program = self.type("logs", *words)
            program.wait_for(until_said, SECONDS)
            program.interrupt()
            return program.wait_end(SECONDS)

        ended = await asyncio.to_thread(watch)
        self.transcript.add(" ".join(["./scripts/celery_workers.sh logs", *words]), ended)
        return ended

    async def stop_while_held(self, release: Path, until_said: str) -> Ended:
        """Run ``stop``; when it has said that, let the task that is under way go on."""

        def watch() -> Ended:
            program = self.type("stop")
            program.wait_for(until_said, SECONDS)
            release.touch()
            return program.wait_end(SECONDS)

        ended = await asyncio.to_thread(watch)
        self.transcript.add("./scripts/celery_workers.sh stop", ended)
        return ended

    def know_broker_by_run_file(self) -> None:
        """From now on as beside ``./scripts/up --pools none``: no variable names a server."""
        found = [self.environment.pop(f"POINTSMAN_{name}") for name in ("DATABASE_URL", "REDIS_URL")]
        run_file = RunFile(supervisor_pid=os.getpid(), database_url=found[0], redis_url=found[1], api_url=self.url)
        run_file.write(self.directory)

    def daemons(self) -> list[psutil.Process]:
        """Every worker process, parents and children, that this test started."""
        return [process for process in psutil.process_iter() if self._is_daemon(process)]

    def pid(self, node: str) -> int:
        """The parent of a node, by its pid file."""
        return int((self.logs / f"celery_{node}.pid").read_text().splitlines()[0])

    def _is_daemon(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get(MARK) == self.mark
            return ours and "celery" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


@pytest.fixture
async def operator(database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Operator]:
    """Two pools that are not running yet."""
    async with Operator(database_url, own_valkey, tmp_path) as running:
        yield running


def rows(text: str) -> dict[str, dict[str, str]]:
    """The table of ``status``: by its first column, the words of the line."""
    head, *lines = [line for line in text.splitlines() if line.strip()]
    assert head.split()[:3] == ["pool", "pid", "state"]
    found = {}
    for line in lines:
        pool, pid, state, queues, *rest = line.split()
        found[pool] = {"pid": pid, "state": state, "queues": queues, "rest": " ".join(rest)}
    return found


class EmailLoad:
    """Keeps submitting short emails until the block ends: tasks that are under way whenever a node is stopped."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.accepted: list[str] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._submit())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        assert self._task is not None
        await self._task

    async def _submit(self) -> None:
        while not self._stopping:
            task_id = await self._operator.submit("sleep", kwargs={"seconds": 0.3}, queue="email")
            self.accepted.append(task_id)
            if len(self.accepted) > 2:
                # One under way and one waiting, so that the backlog does not grow.
                await self._operator.finished(self.accepted[-3])


async def test_operator_starts_looks_restarts_under_load_heals_and_stops(operator: Operator, tmp_path: Path) -> None:
    say = operator.transcript.remark
    down = await operator.run("status")
    assert down.status == 1
    assert {pool: row["state"] for pool, row in rows(down.text).items()} == {"general": "down", "email": "down"}

    started = await operator.run("start")
    assert started.status == 0, started.text
    assert "general: running" in started.text
    assert "email: running" in started.text
    again = await operator.run("start")
    assert again.status == 0
    assert f"email: already running (pid {operator.pid('email')})" in again.text

    up = await operator.run("status")
    assert up.status == 0, up.text
    table = rows(up.text)
    for pool in TOPOLOGY.pools:
        shown = table[pool.name]
        assert (shown["pid"], shown["state"]) == (str(operator.pid(pool.name)), "running")
        assert shown["queues"] == ",".join(pool.queues)
    assert " 0/2 " in table["general"]["rest"]
    assert psutil.Process(operator.pid("general")).parent() != psutil.Process()

    logged = await operator.follow_logs("email", "-n", "5", until_said="starting email")
    assert "general" not in logged.text

    say("Four clients submit tasks over HTTP during the whole restart.")
    before = [operator.pid("general"), operator.pid("email")]
    async with Load(operator, clients=3) as load, EmailLoad(operator) as emails:
        await load.more(200)
        restarted = await operator.run("restart")
        await load.more(200)
    assert restarted.status == 0, restarted.text
    assert "insisting" not in restarted.text
    said = restarted.text
    assert max(said.index(f"{pool}-2: starting") for pool in ("general", "email")) < said.index(": running"), (
        "side by side"
    )
    assert [operator.pid("general-2"), operator.pid("email-2")] != before
    assert not [process.pid for process in operator.daemons() if process.pid in before]
    await invariants.drain(operator)
    accepted = [*load.accepted, *emails.accepted]
    await invariants.check(operator, accepted)
    ended = await operator.rows("SELECT state, attempt, count(*)::int AS tasks FROM task GROUP BY 1, 2")
    assert ended == [{"state": "succeeded", "attempt": 1, "tasks": len(accepted)}], ended
    assert not invariants.more_than_once(operator, load.accepted)
    assert not invariants.never_ran(operator, load.accepted)
    say(f"Of {len(accepted)} tasks submitted meanwhile, {len(accepted)} succeeded in their first attempt.")
    assert (await operator.run("status")).status == 0

    say("kill -9 of the parent of the pool email")
    os.kill(operator.pid("email-2"), 9)
    ill = await operator.run("status")
    assert ill.status == 1
    assert rows(ill.text)["email-2"]["state"] == "down"
    assert rows(ill.text)["general-2"]["state"] == "running"
    healed = await operator.run("start", "email")
    assert healed.status == 0, healed.text
    assert "its process had died" in healed.text
    assert (await operator.run("status", "email")).status == 0

    say("An email that takes some seconds is under way.")
    slow = await operator.submit("ledger.hold", args=[str(tmp_path / "sent")], queue="email")
    await operator.wait_for_effects([slow])
    stopped = await operator.stop_while_held(tmp_path / "sent", "email: draining, 1 task left")
    assert stopped.status == 0, stopped.text
    assert not operator.daemons()
    assert not list(operator.logs.glob("*.pid"))
    assert (await operator.finished(slow))["state"] == "succeeded"
    assert (await operator.run("status")).status == 1
    _write(operator.transcript)


def _write(transcript: Transcript) -> None:
    wanted = os.environ.get("CELERY_WORKERS_TRANSCRIPT")
    if wanted:
        path = ROOT / wanted
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(transcript.text())


async def test_task_that_outlasts_the_patience_of_stop_runs_again_after_the_start_and_nobody_has_failed(
    operator: Operator, tmp_path: Path
) -> None:
    operator.know_broker_by_run_file()
    assert (await operator.run("start", "email")).status == 0
    release = tmp_path / "release"
    stuck = await operator.submit("ledger.hold", args=[str(release)], queue="email", max_attempts=1)
    await operator.wait_for_effects([stuck])
    stopped = await operator.run("stop", "email", "--timeout", "1")
    assert stopped.status == 0, stopped.text
    assert "email: not done after 1 s, insisting" in stopped.text
    assert not operator.daemons()

    waiting = await operator.wait_for_state(stuck, "queued")
    assert (waiting["attempt"], waiting["interruptions"]) == (1, 1)
    release.touch()
    assert (await operator.run("start", "email")).status == 0
    task = await operator.finished(stuck)
    assert (task["state"], task["attempt"], task["interruptions"]) == ("succeeded", 2, 1)
    counters = await operator.counters("ledger.hold")
    assert (counters["interrupted"], counters["failed"], counters["retried"]) == (1, 0, 0)
    assert await operator.rows("SELECT name FROM breaker") == []


async def test_node_that_does_not_come_up_leaves_the_old_one_alone(operator: Operator) -> None:
    assert (await operator.run("start", "email")).status == 0
    pid = operator.pid("email")
    broken = {"POINTSMAN_TASK_MODULES": "nothing.of.that.name"}
    failed = await operator.run("restart", "email", variables=broken)
    assert failed.status == 1
    assert "No module named 'nothing'" in failed.text
    assert "email: email goes on" in failed.text
    assert [process.pid for process in operator.daemons() if process.pid == pid] == [pid]
    assert (await operator.run("status", "email")).status == 0

    # A setting that cannot be read keeps nobody from stopping.
    stopped = await operator.run("stop", variables={"POINTSMAN_TASK_ROUTES": "{"})
    assert stopped.status == 0, stopped.text
    assert not operator.daemons()


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The script without any server."""
    taken = inherited()
    environment = taken | {"POINTSMAN_DATA_DIR": str(tmp_path), "POINTSMAN_LOGS_DIR": str(tmp_path / "a b")}

    def run(*words: str, **variables: str) -> Ended:
        return Program([str(SCRIPT), *words], environment | variables, tmp_path).wait_end(60)

    return run


def test_no_broker_says_what_to_do(run: Run) -> None:
    ended = run("start")
    assert ended.status == 1
    assert ended.text == "No broker: set POINTSMAN_REDIS_URL, or start ./scripts/up --pools none.\n"


def test_broker_that_does_not_answer_is_named_without_its_password(run: Run) -> None:
    ended = run("start", "email", POINTSMAN_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert ended.status == 1
    assert ended.text.startswith("The broker redis://:***@127.0.0.1:1/0 does not answer")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bounce"], "there is no command 'bounce'."),
        (["start", "nope"], "there is no pool 'nope'; the pools are critical high_priority email"),
        (["stop", "--timeout", "soon"], "a number of seconds is needed, not 'soon'"),
        (["status", "--timeout", "1"], "status has no option '--timeout'."),
        (["restart", "--at-once", "0"], "--at-once needs a number of pools, not '0'."),
        (["logs", "-n"], "-n needs a number."),
        ([], "Run the worker pools as daemons."),
    ],
)
def test_words_that_mean_nothing_are_status_2(run: Run, words: list[str], said: str) -> None:
    ended = run(*words)
    assert ended.status == 2
    assert said in ended.text


def test_bad_setting_is_status_2_and_one_line(run: Run) -> None:
    ended = run("start", POINTSMAN_KEPT_BYTES="1")
    assert ended.status == 2
    assert ended.text == "POINTSMAN_KEPT_BYTES: Input should be greater than or equal to 1048576\n"


def test_help_needs_nothing(run: Run) -> None:
    assert run("--help").status == run("stop", "--help").status == 0


def test_logs_of_a_pool_that_never_ran_say_so(run: Run) -> None:
    ended = run("logs", "email")
    assert (ended.status, "nothing has been logged yet" in ended.text) == (1, True)


def started(pid: int) -> str:
    """When a process started, as the script writes it down."""
    path = Path(f"/proc/{pid}/stat")
    if path.exists():
        return path.read_text().rpartition(")")[2].split()[19]
    raise pytest.skip.Exception("no /proc here")


def test_second_script_waits_for_nobody_and_says_who_is_at_work(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "a b" / ".celery_workers.lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text(f"{os.getpid()} {started(os.getpid())}\n")
    ended = run("stop")
    assert ended.status == 1
    assert f"another celery_workers.sh is at work (process {os.getpid()})" in ended.text

    # The same number, another start: the holder is gone.
    (lock / "holder").write_text(f"{os.getpid()} 1\n")
    ended = run("stop", "email")
    assert (ended.status, ended.text) == (0, "email: not running\n")
    assert not lock.exists()


def test_pid_file_that_names_another_program_is_recognised_and_nothing_is_killed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    pid_file = tmp_path / "a b" / "celery_email.pid"
    pid_file.write_text(f"{os.getpid()}\n1\n")
    status = run("status", "email", POINTSMAN_REDIS_URL="redis://127.0.0.1:1/0")
    assert status.status == 1
    assert rows(status.text.partition("The broker")[0])["email"]["state"] == "down"
    ended = run("stop", "email")
    assert (ended.status, ended.text) == (0, f"email: its process had died (pid {os.getpid()})\n")
    assert not pid_file.exists()


def test_status_shows_pids_and_says_that_the_rest_is_unknown_while_the_broker_is_away(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "celery_email.pid").write_text(f"{os.getpid()}\n{started(os.getpid())}\n")
    ended = run("status", "email", POINTSMAN_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.status == 4
    found = rows(ended.text.partition("The broker does not answer")[0])["email"]
    assert found == {"pid": str(os.getpid()), "state": "alive", "queues": "email", "rest": "? ? ?"}
