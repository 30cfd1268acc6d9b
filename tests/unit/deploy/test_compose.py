import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
from pointsman.settings import Settings as WorkerSettings
from pointsman_contract.configuration import VARIABLE as CONFIG
from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY, STEPS
from pointsman_service.settings import Settings as ServiceSettings
from tests.stand.environment import ROOT
from tests.unit.deploy import compose

PROGRAMS = Path(sys.executable).parent
SERVICE = {f"POINTSMAN_{name.upper()}" for name in ServiceSettings.model_fields} | {CONFIG}
WORKER = {f"POINTSMAN_{name.upper()}" for name in WorkerSettings.model_fields} | {CONFIG}
OF_IMAGES = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS"},
    "valkey": {"VALKEYCLI_AUTH", "REDISCLI_AUTH"},
    "flower": {"CELERY_BROKER_URL", "CELERY_CONFIG_MODULE", "PYTHONPATH"},
}
"""Variables that images of others document."""
OF_ASYNCPG = {"PGSSLROOTCERT"}
COMPOSES_OWN = {"TAG", "REDIS_PASSWORD"}
KINDS = (CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask)
SETTLING_SECONDS = 20
"""What a worker needs to end beside its tasks."""

each_service = pytest.mark.parametrize("name", compose.services())
each_of_ours = pytest.mark.parametrize("name", compose.ours())
PASSWORDS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD")
each_worker = pytest.mark.parametrize("name", compose.workers())


def test_file_follows_the_schema_of_compose() -> None:
    words = [str(PROGRAMS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(compose.COMPOSE)]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_all_roles_are_there() -> None:
    assert {"postgres", "valkey", "migrate", "api", "dispatcher", "recorder", "reconciler"} <= set(compose.services())
    assert {name for name, service in compose.services().items() if "profiles" in service} == {"flower", "prometheus"}


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
    assert set(compose.example_variables()) <= SERVICE | WORKER | OF_IMAGES["postgres"] | OF_ASYNCPG | COMPOSES_OWN


def test_values_of_env_example_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in compose.example_variables().items():
        if value and name != CONFIG:
            monkeypatch.setenv(name, value)
    assert ServiceSettings().log_json
    assert WorkerSettings().modules() == ("my_tasks",)


def test_password_of_the_database_has_no_default() -> None:
    assert compose.example_variables()["POSTGRES_PASSWORD"] == ""
    with pytest.raises(AssertionError, match="POSTGRES_PASSWORD is not set"):
        compose.environment(compose.services()["api"], {"REDIS_PASSWORD": "x"})


@pytest.mark.parametrize("name", ["valkey", "api", "worker-email", "flower"])
def test_password_of_the_broker_has_no_default(name: str) -> None:
    assert compose.example_variables()["REDIS_PASSWORD"] == ""
    with pytest.raises(AssertionError, match="REDIS_PASSWORD is not set"):
        compose.environment(compose.services()[name], {"POSTGRES_PASSWORD": "x"})
    assert "s3cret" in str(compose.environment(compose.services()[name], dict.fromkeys(PASSWORDS, "s3cret")))


def test_password_of_the_broker_stands_on_no_command_line() -> None:
    for service in compose.services().values():
        assert "REDIS_PASSWORD" not in str(service.get("command")) + str(service.get("healthcheck"))


@each_worker
def test_worker_neither_knows_nor_reaches_the_database(name: str) -> None:
    service = compose.workers()[name]
    assert "POSTGRES_PASSWORD" not in str(service)
    assert "DATABASE" not in str(service["environment"])
    assert service["networks"] == ["broker"]


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in compose.services()[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


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
