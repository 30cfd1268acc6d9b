"""Both settings classes and everything they are read from."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from pointsman.settings import Settings as WorkerSettings
from pointsman.settings import settings as worker_settings
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.configuration import BadConfiguration, read_file
from pointsman_contract.settings_view import groups, masked_url, read_settings, rows
from pointsman_service.settings import Settings as ServiceSettings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*ServiceSettings.model_fields, *WorkerSettings.model_fields, "config"}:
        monkeypatch.delenv(f"POINTSMAN_{name.upper()}", raising=False)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a file the configuration; its name."""

    def write(text: str, name: str = "a.toml") -> str:
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setenv("POINTSMAN_CONFIG", str(path))
        return str(path)

    return write


def faults(kind: type[ServiceSettings] | type[WorkerSettings], **given: Any) -> list[str]:
    with pytest.raises(BadConfiguration) as raised:
        read_settings(kind, **given)
    return list(raised.value.lines)


def origins(settings: ServiceSettings, *given: str) -> dict[str, str]:
    return {row.name: str(row.origin) for row in rows(settings, read_file(), given)}


def test_file_is_read_by_both_sides_each_what_it_knows(configured: Any) -> None:
    configured(
        'port = 9000\nredis_url = "redis://cache/1"\ntask_modules = ["a.b", "c"]\n'
        '[task_routes]\n"feeds.*" = "reports"\n[retry_policy]\nmax_retries = 1\n'
    )
    ours, theirs = ServiceSettings(), WorkerSettings()
    assert ours.port == 9000
    assert theirs.modules() == ("a.b", "c")
    for settings in (ours, theirs):
        assert settings.require_redis_url() == "redis://cache/1"
        assert settings.task_routes.find("feeds.x") is not None
        assert settings.retry_policy.max_retries == 1


def test_three_dictionaries_people_have_are_taken_from_a_python_module(configured: Any) -> None:
    configured(
        "CELERY_TASK_ROUTES = {'send_reminder_email': {'queue': 'email'}}\n"
        "CIRCUIT_BREAKER = {'failure_threshold': 3, 'recovery_timeout': 60, 'expected_exception': OSError}\n"
        "CELERY_RETRY_POLICY = {'max_retries': 5, 'interval_start': 0, 'interval_step': 2, 'interval_max': 10}\n",
        "a.py",
    )
    settings = ServiceSettings()
    assert settings.task_routes.for_celery() == {"send_reminder_email": {"queue": "email"}}
    assert (settings.circuit_breaker.failure_threshold, settings.circuit_breaker.expected_exception) == (
        3,
        ("OSError",),
    )
    assert settings.retry_policy.max_retries == 5


def test_environment_wins_over_the_file_and_arguments_over_both(
    configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = configured('port = 9000\nhost = "10.0.0.1"\nbody_bytes = 2048\n')
    monkeypatch.setenv("POINTSMAN_PORT", "9001")
    monkeypatch.setenv("POINTSMAN_HOST", "10.0.0.2")
    settings = read_settings(ServiceSettings, host="10.0.0.3")
    assert (settings.port, settings.host, settings.body_bytes) == (9001, "10.0.0.3", 2048)
    found = origins(settings, "host")
    assert (found["port"], found["host"]) == ("POINTSMAN_PORT", "--host")
    assert (found["body_bytes"], found["batch_bytes"]) == (f"{named}: body_bytes", "default")


@pytest.mark.parametrize("stronger", ["environment", "argument"])
def test_dictionary_comes_whole_from_one_source(
    configured: Any, monkeypatch: pytest.MonkeyPatch, stronger: str
) -> None:
    configured('[task_routes]\na = "email"\n')
    given: dict[str, Any] = {}
    if stronger == "environment":
        monkeypatch.setenv("POINTSMAN_TASK_ROUTES", json.dumps({"b": {"queue": "reports"}}))
    else:
        given = {"task_routes": {"b": "reports"}}
    assert read_settings(ServiceSettings, **given).task_routes.for_celery() == {"b": {"queue": "reports"}}


def test_origin_names_the_key_as_the_file_spells_it(configured: Any) -> None:
    named = configured("CELERY_TASK_ROUTES = {}\n", "a.py")
    assert origins(ServiceSettings())["task_routes"] == f"{named}: CELERY_TASK_ROUTES"


def test_each_fault_is_a_line_that_names_where_the_value_stands(
    configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = configured(
        'port = 99999\n[CELERY_TASK_ROUTES]\n"a.b" = {queue = "email", exchange = "x"}\n'
        "[CIRCUIT_BREAKER]\nfailure_treshold = 5\n"
    )
    monkeypatch.setenv("POINTSMAN_LOG_LEVEL", "LOUD")
    monkeypatch.setenv("POINTSMAN_RETRY_POLICY", '{"max_retries": -1}')
    found = faults(ServiceSettings)
    assert f"{named}: port: Input should be less than or equal to 65535" in found
    assert (
        f"{named}: CELERY_TASK_ROUTES['a.b']: exchange cannot be honoured: a route has a queue and perhaps a priority"
        in found
    )
    keys = ", ".join(BreakerPolicy.model_fields)
    assert f"{named}: CIRCUIT_BREAKER.failure_treshold: there is no such key; the keys are {keys}" in found
    assert "POINTSMAN_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'" in found
    assert "POINTSMAN_RETRY_POLICY.max_retries: Input should be greater than or equal to 0" in found
    assert len(found) == 5


@pytest.mark.parametrize("kind", [ServiceSettings, WorkerSettings])
def test_route_to_no_queue_is_refused_with_the_queues_there_are(
    kind: type[ServiceSettings] | type[WorkerSettings], configured: Any
) -> None:
    named = configured('[task_routes]\na = "emial"\n')
    (line,) = faults(kind)
    assert line == (
        f"{named}: task_routes: 'a' leads to emial: not a queue; the queues are critical, high_priority, email, "
        "reports, external_api, maintenance"
    )


def test_routes_are_held_against_the_queues_of_the_same_file(configured: Any) -> None:
    topology = {"queues": [{"name": "post", "priority": 1, "sla_seconds": 1}], "pools": [], "fallback": "post"}
    configured(json.dumps({"task_routes": {"a": "post"}, "topology": topology}), "a.json")
    assert ServiceSettings().task_routes.for_celery() == {"a": {"queue": "post"}}
    configured(json.dumps({"task_routes": {"a": "email"}, "topology": topology}), "b.json")
    assert faults(ServiceSettings)[0].endswith("'a' leads to email: not a queue; the queues are post")


def test_misspelt_key_of_a_queue_is_refused(configured: Any) -> None:
    queue = {"name": "post", "priority": 1, "sla_seconds": 1, "accept_any": False}
    named = configured(json.dumps({"topology": {"queues": [queue], "pools": [], "fallback": "post"}}), "a.json")
    assert faults(ServiceSettings) == [f"{named}: topology.queues[0].accept_any: there is no such key"]


@pytest.mark.parametrize("name", ["TOPOLOGY", "TASK_ROUTES", "RETRY_POLICY", "CIRCUIT_BREAKER"])
def test_variable_that_is_no_json_says_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"POINTSMAN_{name}", "{")
    (line,) = faults(ServiceSettings)
    assert line.startswith(f"POINTSMAN_{name}: is not JSON: ")


def test_fault_does_not_show_the_value(configured: Any) -> None:
    named = configured('database_url = "mysql://app:hunter2@db/x"\n')
    assert faults(ServiceSettings) == [f"{named}: database_url: must start with postgresql://"]


def test_worker_with_a_bad_setting_ends_with_its_lines_and_status_2(
    configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    named = configured("gate_wait_seconds = 0\nkept_bytes = 1\n")
    worker_settings.cache_clear()
    with pytest.raises(SystemExit) as raised:
        worker_settings()
    assert raised.value.code == 2
    assert capsys.readouterr().err == (
        f"{named}: gate_wait_seconds: Input should be greater than 0\n"
        f"{named}: kept_bytes: Input should be greater than or equal to 1048576\n"
    )


def test_fault_between_two_settings_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_SOFT_TIME_LIMIT_SECONDS", "301")
    assert faults(WorkerSettings) == ["POINTSMAN_SOFT_TIME_LIMIT_SECONDS must be below time_limit_seconds"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+asyncpg://app:hunter2@db:5432/x", "postgresql+asyncpg://app:***@db:5432/x"),
        ("postgresql://app@/postgres?host=/run/pg", "postgresql://app@/postgres?host=/run/pg"),
        ("postgresql://db/x?user=a&password=hunter2", "postgresql://db/x?user=a&password=***"),
        ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("unix:///run/valkey.sock?db=2", "unix:///run/valkey.sock?db=2"),
        ("rediss://u:p@[::1]:7000", "rediss://u:***@[::1]:7000"),
        ("redis://:hun/ter2@cache/0", "***"),
        ("redis://:hun#ter2@cache/0", "***"),
        ("redis://:hun?ter2@cache/0", "***"),
        ("hunter2", "***"),
        ("redis://[hunter2", "***"),
    ],
)
def test_password_of_a_url_is_masked_and_its_host_kept(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_rows_hold_no_secret() -> None:
    settings = read_settings(ServiceSettings, database_url="postgresql://app:hunter2@db/x")
    (row,) = [row for row in rows(settings, None, ("database_url",)) if row.name == "database_url"]
    assert row.value == "postgresql+asyncpg://app:***@db/x"


@pytest.mark.parametrize("kind", [ServiceSettings, WorkerSettings])
def test_every_setting_stands_in_one_group_that_has_a_title(kind: type[ServiceSettings] | type[WorkerSettings]) -> None:
    grouped = groups(kind)
    assert sorted(name for names in grouped.values() for name in names) == sorted(kind.model_fields)
    assert [title for title in grouped if title.endswith("Settings")] == []


def test_groups_are_shown_whole_and_in_the_order_in_which_the_class_names_them() -> None:
    shown = [row.group for row in rows(ServiceSettings(), None)]
    assert list(dict.fromkeys(shown)) == list(groups(ServiceSettings)) == [group for group, _ in groupby(shown)]
    assert (shown[0], shown[-1]) == ("Servers and process", "Alerts")


@pytest.mark.parametrize("kind", [ServiceSettings, WorkerSettings])
@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_text_is_refused_where_some_is_needed(
    kind: type[ServiceSettings | WorkerSettings], empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"host", "data_dir", "pulse_file", "reports_dir", "cache_dir", "alert_base_url"} & kind.model_fields.keys()
    for name in needed:
        monkeypatch.setenv(f"POINTSMAN_{name.upper()}", empty)
    with pytest.raises(BadConfiguration) as refused:
        read_settings(kind)
    assert sorted(refused.value.lines) == sorted(
        f"POINTSMAN_{name.upper()}: is empty: give it a value, or leave it out" for name in needed
    )


def test_empty_text_that_is_the_default_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_TASK_MODULES", "")
    assert read_settings(WorkerSettings).modules() == ()


def test_a_fault_of_several_settings_names_each_where_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("POINTSMAN_REDIS_URL", "redis://:other@cache")
    for kind in (ServiceSettings, WorkerSettings):
        with pytest.raises(BadConfiguration) as refused:
            read_settings(kind)
        assert refused.value.lines == (
            "POINTSMAN_REDIS_PASSWORD is given, and POINTSMAN_REDIS_URL holds a password, too: keep one of them",
        )
