"""The containers of docker-compose.yml as processes: its commands, variables and servers, on the image's files.

Each runs as the image's user on a read-only file system, is asked for its health as an engine would ask, and is told
to stop with the signal an engine would send.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from pointsman_contract.states import TERMINAL
from pointsman_service.access.token import new_token
from pointsman_service.embedded.ports import free_port
from pointsman_service.embedded.postgres import USER, PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.integration.deploy.image import Image
from tests.stand.waiting import until_now
from tests.unit.deploy import compose
from tests.unit.deploy.dockerfile import stages

pytestmark = pytest.mark.timeout(300)  # the first one builds the image

STAYING = ("api", "dispatcher", "recorder", "reconciler", "worker-reports")
"""One of each kind."""


class Containers:
    """Services of docker-compose.yml on real servers."""

    def __init__(self, image: Image, directory: Path, variables: dict[str, str]) -> None:
        self.image = image
        self.port = free_port()
        self._directory = directory
        # Where the user of the image may read.
        self._secrets = image.volume / "secrets"
        self._secrets.mkdir(mode=0o755, exist_ok=True)
        for name in ("admin_key", "workers_key", "prometheus_key"):
            (self._secrets / name).write_text(new_token() + "\n")
            (self._secrets / name).chmod(0o644)
        headers = {"Authorization": f"Bearer {self.secret_text('admin_key')}"}
        url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False, headers=headers)
        self._variables = variables | dict.fromkeys(
            ("POINTSMAN_DATABASE_PASSWORD_FILE", "POINTSMAN_REDIS_PASSWORD_FILE"), ""
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """What the container of that name gets."""
        found = compose.environment(compose.services()[name], self._variables)
        if "POINTSMAN_API_URL" in found:
            # No network of containers: their names are not known here.
            found["POINTSMAN_API_URL"] = found["POINTSMAN_API_URL"].replace("api:8000", f"127.0.0.1:{self.port}")
        if "POINTSMAN_API_KEY_FILE" in found:
            found["POINTSMAN_API_KEY_FILE"] = self._secret(found["POINTSMAN_API_KEY_FILE"])
        pulse = self.image.scratch / f"{name}.pulse"
        return found | {"POINTSMAN_PORT": str(self.port), "POINTSMAN_PULSE_FILE": str(pulse)}

    def start(self, name: str) -> None:
        """Start one."""
        words = compose.services()[name]["command"]
        self._running[name] = self.image.start(words, self.environment(name), self.log(name))

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        words = [self._secret(word) for word in compose.services()[name]["command"]]
        return self.image.run(*words, **self.environment(name))

    def _secret(self, word: str) -> str:
        """A word with the path of a secret as it is here."""
        return word.replace("/run/secrets", str(self._secrets))

    def is_well(self, name: str, *words: str) -> bool:
        """What the image's health check says of one; fails when it has ended."""
        assert self._running[name].poll() is None, self.text(name)
        check = stages()[-1].only("HEALTHCHECK").text.partition(" ")[2]
        return self.image.run(*re.findall(r'"([^"]+)"', check), *words, **self.environment(name)).returncode == 0

    def is_ready(self) -> bool:
        """Whether a task submitted now would run; fails when a container has ended."""
        assert all(process.poll() is None for process in self._running.values())
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def send(self, name: str, number: signal.Signals) -> None:
        """Send one of them a signal."""
        self._running[name].send_signal(number)

    def stop(self, name: str) -> int:
        """SIGTERM; its exit status."""
        self.send(name, signal.SIGTERM)
        return self._running.pop(name).wait(30)

    def end(self) -> None:
        """Leave nothing behind."""
        self.http.close()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_lines(self) -> str:
        """What each of them said last."""
        return "\n".join(f"--- {name}\n{self.text(name)[-3000:]}" for name in self._running)

    def secret_text(self, name: str) -> str:
        return (self._secrets / name).read_text().strip()

    def log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def text(self, name: str) -> str:
        return self.log(name).read_text()


@pytest.fixture(scope="module")
def containers(
    image: Image,
    postgres_of_compose: PostgresServer,
    valkey_of_compose: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Containers]:
    """The database migrated, one container of each kind running and ready."""
    database = postgres_of_compose.create_database("pointsman")
    urls = {
        "POINTSMAN_DATABASE_URL": database.replace(f"//{USER}@", "//pointsman_service@"),
        "POINTSMAN_DATABASE_OWNER_URL": database,
        "POINTSMAN_REDIS_URL": valkey_of_compose.url,
    }
    running = Containers(image, tmp_path_factory.mktemp("containers"), urls)
    try:
        migrated = running.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        refused = running.run("api")
        assert (refused.returncode, "keys create admin --preset admin" in refused.stderr) == (1, True), refused.stderr
        for said in ("made", "is there, active"):
            provided = running.run("keys")
            assert provided.returncode == 0, provided.stderr
            assert provided.stdout.splitlines() == [f"{name}: {said}" for name in ("admin", "workers", "prometheus")]
        for name in STAYING:
            running.start(name)
        until_now(running.is_ready, "the containers to be ready")
        yield running
    except AssertionError as error:
        error.add_note(running.last_lines())
        raise
    finally:
        running.end()


def test_servers_take_the_settings_they_are_given(
    containers: Containers, postgres_of_compose: PostgresServer, valkey_of_compose: ValkeyServer
) -> None:
    shown = {name: _shown(postgres_of_compose, name) for name in postgres_of_compose.settings}
    # PostgreSQL names the only way to compress that every build of it has.
    assert shown == postgres_of_compose.settings | {"wal_compression": "pglz"}
    with redis.Redis.from_url(valkey_of_compose.url, decode_responses=True) as server:
        found: dict[str, Any] = server.config_get("*")
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(512 * 1024 * 1024), "noeviction")
    assert (found["appendonly"], found["appendfsync"], found["save"]) == ("yes", "everysec", "")


@pytest.mark.parametrize("name", STAYING)
def test_container_is_well(containers: Containers, name: str) -> None:
    until_now(lambda: containers.is_well(name), f"{name} to be well")


def test_task_runs_through_all_of_them_and_writes_to_the_volume(containers: Containers) -> None:
    asked = {"task_type": "create_scheduled_reports", "kwargs": {"period": "hour"}}
    answer = containers.http.post("/v1/tasks", json=asked)
    assert answer.status_code == 202, answer.text
    task = answer.json()["id"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = containers.http.get(f"/v1/tasks/{task}").json()
        return found if found["state"] in TERMINAL else None

    found = until_now(ended, "the task to end")
    assert found is not None
    assert found["state"] == "succeeded", found
    assert Path(found["result"]["html"]).is_relative_to(containers.image.volume / "reports")
    assert Path(found["result"]["html"]).is_file()


def test_each_caller_has_a_key_of_its_own_and_nobody_comes_without(containers: Containers) -> None:
    with httpx.Client(base_url=containers.http.base_url, trust_env=False) as nobody:
        assert nobody.get("/livez").status_code == 200
        assert [nobody.get(path).status_code for path in ("/v1/tasks", "/metrics", "/readyz?verbose")] == [401] * 3
        scraper = {"Authorization": f"Bearer {containers.secret_text('prometheus_key')}"}
        assert nobody.get("/metrics", headers=scraper).status_code == 200
        assert nobody.get("/v1/tasks", headers=scraper).status_code == 403


@pytest.mark.parametrize("name", ["recorder", "worker-reports"])
def test_frozen_container_is_ill_and_well_again_when_it_goes_on(containers: Containers, name: str) -> None:
    containers.send(name, signal.SIGSTOP)
    try:
        # Judged as after thirty seconds, without waiting for them.
        until_now(lambda: not containers.is_well(name, "3"), f"{name} to be ill")
    finally:
        containers.send(name, signal.SIGCONT)
    until_now(lambda: containers.is_well(name, "3"), f"{name} to be well again")


def test_each_container_ends_cleanly_when_told_and_has_written_nothing_but_its_pulse(containers: Containers) -> None:
    for name in reversed(STAYING):
        assert containers.stop(name) == 0, containers.text(name)
    written = {path.name for path in containers.image.scratch.rglob("*")} - {"x"}
    assert written == {f"{name}.pulse" for name in STAYING}


def _shown(server: PostgresServer, name: str) -> str:
    from tests.integration.embedded.running_up import psql

    return psql(server.dsn_of(), f"SHOW {name}")
