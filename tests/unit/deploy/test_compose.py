import re
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pointsman import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
from pointsman.settings import Settings as WorkerSettings
from pointsman_contract.configuration import FILE_SUFFIX
from pointsman_contract.configuration import VARIABLE as CONFIG
from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY, STEPS
from pointsman_contract.setting_names import SECRETS
from pointsman_service.settings import Settings as ServiceSettings
from tests.stand.environment import ROOT
from tests.unit.deploy import compose

PROGRAMS = Path(sys.executable).parent


def _variables(names: Iterable[str]) -> set[str]:
    listed = list(names)
    files = [f"{name}{FILE_SUFFIX}" for name in listed if name in SECRETS]
    return {f"POINTSMAN_{name.upper()}" for name in [*listed, *files]} | {CONFIG}


SERVICE = _variables(ServiceSettings.model_fields)
WORKER = _variables(WorkerSettings.model_fields)
OF_IMAGES = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"},
    # The last two are read by the configuration that it is given.
    "flower": {"CELERY_CONFIG_MODULE", "PYTHONPATH", "POINTSMAN_REDIS_URL", "POINTSMAN_REDIS_PASSWORD_FILE"},
}
"""Variables that images of others document."""
OF_ASYNCPG = {"PGSSLROOTCERT"}
COMPOSES_OWN = {
    "TAG",
    "SECRETS_DIR",
    "PROXY_ADDRESS",
    "PROXY_PORT",
    "POSTGRES_MEMORY",
    "SERVICE_MEMORY",
    "WORKER_MEMORY",
}
KINDS = (CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask)
SETTLING_SECONDS = 20
"""What a worker needs to end beside its tasks."""

PROXY = (ROOT / "docs" / "deploy" / "nginx.conf").read_text(encoding="utf-8")
"""What the proxy is configured with."""

PROMETHEUS = (ROOT / "docs" / "deploy" / "prometheus.yml").read_text(encoding="utf-8")

each_service = pytest.mark.parametrize("name", compose.services())
each_of_ours = pytest.mark.parametrize("name", compose.ours())
each_worker = pytest.mark.parametrize("name", compose.workers())


def test_file_follows_the_schema_of_compose() -> None:
    words = [str(PROGRAMS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(compose.COMPOSE)]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_all_roles_are_there() -> None:
    assert {"postgres", "valkey", "migrate", "api", "dispatcher", "recorder", "reconciler"} <= set(compose.services())
    assert {name for name, service in compose.services().items() if "profiles" in service} == {
        "flower",
        "prometheus",
        "proxy",
    }


def test_one_service_builds_the_image_that_all_of_ours_run() -> None:
    assert [name for name, service in compose.services().items() if "build" in service] == ["migrate"]
    assert len({service["image"] for service in compose.ours().values()}) == 1


def test_worker_services_are_the_pools_of_the_topology() -> None:
    # What every node of a pool is started with, from the word ``celery`` on: the image has it as a program.
    words = {pool.name: worker_words(pool) for pool in DEFAULT_TOPOLOGY.pools}
    wanted = {name: list(found[found.index("celery") :]) for name, found in words.items()}
    assert {
        name.removeprefix("worker-").replace("-", "_"): of["command"] for name, of in compose.workers().items()
    } == (wanted)


def test_flower_counts_every_list_of_a_queue() -> None:
    flower = compose.services()["flower"]
    (volume,) = flower["volumes"]
    source, place, mode = volume.split(":")
    variables = flower["environment"]
    assert (place, mode) == (f"{variables['PYTHONPATH']}/{variables['CELERY_CONFIG_MODULE']}.py", "ro")
    configuration = runpy.run_path(str(ROOT / source))
    assert configuration["broker_transport_options"]["priority_steps"] == list(STEPS)


@each_worker
def test_worker_is_given_the_time_its_longest_task_may_take(name: str) -> None:
    service = compose.workers()[name]
    queues = service["command"][service["command"].index("-Q") + 1].split(",")
    limits = [WorkerSettings().time_limit_seconds, *(kind.time_limit for kind in KINDS if kind.queue in queues)]
    assert compose.seconds(service["stop_grace_period"]) >= max(limits) + SETTLING_SECONDS


@each_of_ours
def test_every_variable_of_ours_is_a_setting_of_its_role(name: str) -> None:
    service = compose.ours()[name]
    known = WORKER if name in compose.workers() else SERVICE | OF_ASYNCPG
    assert set(service["environment"]) <= known


@pytest.mark.parametrize("name", sorted(compose.services().keys() - compose.ours().keys()))
def test_every_other_variable_belongs_to_the_image_it_is_given_to(name: str) -> None:
    assert set(compose.services()[name].get("environment", {})) <= OF_IMAGES.get(name, set())


def test_env_example_names_exactly_the_variables_in_use() -> None:
    assert set(compose.example_variables()) == compose.variables_used()


def test_every_variable_of_env_example_is_a_setting_or_an_images() -> None:
    assert set(compose.example_variables()) <= SERVICE | WORKER | OF_ASYNCPG | COMPOSES_OWN


def test_values_of_env_example_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in compose.example_variables().items():
        if value and name != CONFIG:
            monkeypatch.setenv(name, value)
    assert ServiceSettings().log_json
    assert WorkerSettings().modules() == ("my_tasks",)


def test_passwords_stand_in_files_and_in_no_variable_and_on_no_command_line() -> None:
    text = compose.COMPOSE.read_text() + compose.EXAMPLE.read_text()
    assert {name for name in re.findall(r"\w*PASSWORD\w*", text) if not name.startswith("POINTSMAN_")} == {
        "POSTGRES_PASSWORD_FILE"
    }
    for name in compose.ours():
        found = compose.environment(compose.services()[name], {})
        assert found["POINTSMAN_REDIS_URL"] == "redis://valkey:6379/0"
        assert found.get("POINTSMAN_DATABASE_URL", "") in ("", "postgresql://pointsman_service@postgres:5432/pointsman")


@each_service
def test_container_is_given_exactly_the_secrets_it_reads(name: str) -> None:
    service = compose.services()[name]
    given = set(service.get("secrets", []))
    assert given <= compose.secrets().keys()
    text = {"proxy": PROXY, "prometheus": PROMETHEUS}.get(name, str(service))
    assert given == set(re.findall(r"/run/secrets/(\w+)", text))


def test_settings_take_what_compose_gives_with_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in compose.secrets():
        (tmp_path / name).write_text("s3cret/@\n")
    for name in ("api", "worker-email"):
        for variable, value in compose.environment(compose.services()[name], {}).items():
            monkeypatch.setenv(variable, value.replace("/run/secrets", str(tmp_path)))
    monkeypatch.setenv("POINTSMAN_HOST", "127.0.0.1")
    assert (
        ServiceSettings().require_database_url().endswith("://pointsman_service:s3cret%2F%40@postgres:5432/pointsman")
    )
    for settings in (ServiceSettings(), WorkerSettings()):
        assert settings.require_redis_url() == "redis://:s3cret%2F%40@valkey:6379/0"


def test_flower_finds_the_broker_with_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis_password").write_text("s3cret/@\n")
    for variable, value in compose.environment(compose.services()["flower"], {}).items():
        if variable.startswith("POINTSMAN_"):
            monkeypatch.setenv(variable, value.replace("/run/secrets", str(tmp_path)))
    source = compose.services()["flower"]["volumes"][0].partition(":")[0]
    assert runpy.run_path(str(ROOT / source))["broker_url"] == WorkerSettings().require_redis_url()


@each_service
def test_memory_of_a_container_is_limited(name: str) -> None:
    limit = compose.megabytes(compose.resolve(compose.services()[name]["mem_limit"], {}))
    words = " ".join(map(str, compose.services()[name].get("command", [])))
    for setting in re.findall(r"(?:shared_buffers=|--maxmemory )(\d+mb)", words, re.IGNORECASE):
        assert limit >= 2 * compose.megabytes(setting.lower().removesuffix("b"))
    assert limit >= 128


@each_worker
def test_worker_neither_knows_nor_reaches_the_database(name: str) -> None:
    service = compose.workers()[name]
    assert "postgres_password" not in str(service)
    assert "DATABASE" not in str(service["environment"])
    assert service["networks"] == ["broker"]


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in compose.services()[name].get("ports", []):
        assert compose.resolve(port, {}).startswith("127.0.0.1:")


@each_service
def test_service_is_hardened(name: str) -> None:
    service = compose.services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & service.keys()
    assert service.get("user", "999:999") == "999:999"


@each_service
def test_image_is_pinned(name: str) -> None:
    image: str = compose.services()[name]["image"]
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image) or image == "pointsman:${TAG:-dev}"


def test_servers_are_of_the_versions_the_tests_run_against() -> None:
    from pointsman_service.embedded.binaries import POSTGRES_MAJOR, valkey_server

    found = {name: compose.services()[name]["image"] for name in ("postgres", "valkey")}
    assert found["postgres"].partition(":")[2].startswith(f"{POSTGRES_MAJOR}.")
    version = subprocess.run([valkey_server(), "--version"], capture_output=True, text=True, check=True).stdout
    tested = re.search(r"v=(\d+\.\d+)\.", version)
    assert tested
    assert found["valkey"].partition(":")[2].startswith(f"{tested[1]}.")


@each_service
def test_each_condition_can_come_true(name: str) -> None:
    for other, wanted in compose.services()[name].get("depends_on", {}).items():
        needed = compose.services()[other]
        match wanted["condition"]:
            case "service_healthy":
                assert _has_health_check(other)
                assert needed["restart"] == "unless-stopped"
            case "service_completed_successfully":
                assert needed["restart"] == "no"
            case condition:
                pytest.fail(f"{name} waits for {condition} of {other}")
        assert "profiles" not in needed


@each_service
def test_service_that_stays_has_a_health_check(name: str) -> None:
    assert _has_health_check(name) or compose.services()[name]["restart"] == "no"


def _has_health_check(name: str) -> bool:
    """Its own, or that of our image, which it may not have disabled."""
    check = compose.services()[name].get("healthcheck", {})
    return "test" in check or (name in compose.ours() and not check.get("disable"))
