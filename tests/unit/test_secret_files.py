"""Secrets in files that the environment names, for both settings classes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from pointsman.settings import Settings as WorkerSettings
from pointsman_contract.configuration import FILE_SUFFIX, PREFIX, BadConfiguration
from pointsman_contract.setting_names import NAMES, SECRETS
from pointsman_contract.settings_view import read_settings, rows
from pointsman_service.embedded.options import parse_options, with_secrets
from pointsman_service.settings import Settings as ServiceSettings
from tests.stand.environment import ROOT, inherited

Kind = type[ServiceSettings] | type[WorkerSettings]
KINDS = (ServiceSettings, WorkerSettings)
HUNTER = "hunter2/@:?# \u00e4"
CHANNELS = (
    '[{"kind": "webhook", "name": "chat", "url": "https://chat.example/hunter2",\n'
    ' "secrets": ["whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg=="]}]'
)
RING = "2026-11:" + "hunter2" * 6
GOOD: dict[str, str] = {
    "alert_channels": CHANNELS,
    "database_owner_url": "postgresql://owner:hunter2@db/x",
    "database_owner_password": HUNTER,
    "encryption_keys": RING,
    "signing_keys": RING,
    "oidc_client_secret": HUNTER,
    "database_url": "postgresql://app:hunter2@db/x",
    "database_password": HUNTER,
    "api_key": HUNTER,
    "mqtt_password": HUNTER,
    "redis_url": "redis://:hunter2@cache/1",
    "redis_password": HUNTER,
    "smtp_password": HUNTER,
}
BESIDE = {
    "database_owner_password": {"database_owner_url": "postgresql://owner@db/x"},
    "database_password": {"database_url": "postgresql://app@db/x"},
    "mqtt_password": {"mqtt_user": "app"},
    "redis_password": {"redis_url": "redis://cache/1"},
    "smtp_password": {"smtp_user": "app"},
}
EACH = [(kind, name) for kind in KINDS for name in SECRETS if name in kind.model_fields]
each_secret = pytest.mark.parametrize(("kind", "name"), EACH, ids=[f"{kind.__module__}-{name}" for kind, name in EACH])


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a secret, and what it needs beside it, where a setting looks; the name of its variable."""

    def put(name: str, text: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        for setting, value in BESIDE.get(name, {}).items():
            monkeypatch.setenv(PREFIX + setting.upper(), value)
        variable = PREFIX + name.upper() + FILE_SUFFIX
        monkeypatch.setenv(variable, str(path))
        return variable

    return put


def fault(kind: Kind) -> str:
    with pytest.raises(BadConfiguration) as raised:
        read_settings(kind)
    (line,) = raised.value.lines
    return line


def test_no_setting_has_the_name_of_the_file_of_another() -> None:
    assert {f"{name}{FILE_SUFFIX.lower()}" for name in SECRETS}.isdisjoint(NAMES)


@each_secret
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_secret_is_read_from_its_file_and_shown_nowhere(kind: Kind, name: str, end: str, given: Any) -> None:
    variable = given(name, GOOD[name] + end)
    settings = read_settings(kind)
    found = getattr(settings, name)
    if name == "alert_channels":
        assert found[0].url.get_secret_value() == "https://chat.example/hunter2"
    else:
        assert found.get_secret_value().replace("+asyncpg", "") == GOOD[name]
    (row,) = [row for row in rows(settings, None) if row.name == name]
    assert str(row.origin) == variable
    assert "hunter2" not in f"{settings!r}{settings}{settings.model_dump_json()}{row}"


@each_secret
def test_fault_of_a_file_names_variable_and_file(
    kind: Kind, name: str, given: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variable = given(name, "\n")
    assert fault(kind) == f"{variable}: {tmp_path / name} is empty"
    given(name, b"hunter2\xff")
    assert fault(kind) == f"{variable}: {tmp_path / name} is not UTF-8 text"
    monkeypatch.setenv(variable, str(tmp_path))
    assert fault(kind) == f"{variable}: {tmp_path} cannot be read: Is a directory"
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    assert fault(kind) == f"{variable}: {tmp_path / 'nowhere'} cannot be read: No such file or directory"
    monkeypatch.setenv(variable, "/dev/zero")
    assert fault(kind) == f"{variable}: /dev/zero is longer than 262144 bytes"
    monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setenv(PREFIX + name.upper(), "hunter2")
    assert fault(kind) == f"{variable}: {PREFIX}{name.upper()} is set, too: keep one of them"


@each_secret
def test_variable_that_is_empty_names_no_file(
    kind: Kind, name: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = given(name, GOOD[name])
    monkeypatch.setenv(variable, "")
    settings = read_settings(kind)
    assert not getattr(settings, name)
    assert [str(row.origin) for row in rows(settings, None) if row.name == name] == ["default"]


def test_every_fault_is_a_line(given: Any) -> None:
    variables = [given("redis_url", ""), given("smtp_password", "")]
    with pytest.raises(BadConfiguration) as raised:
        read_settings(WorkerSettings)
    assert [line.partition(":")[0] for line in raised.value.lines] == variables


def test_bad_value_in_a_file_is_named_by_its_variable_and_not_shown(given: Any) -> None:
    variable = given("database_url", "mysql://app:hunter2@db/x")
    assert fault(ServiceSettings) == f"{variable}: must start with postgresql://"
    variable = given("database_url", "postgresql://db/x")
    given("alert_channels", "[hunter2")
    assert fault(ServiceSettings).startswith("POINTSMAN_ALERT_CHANNELS_FILE: is not JSON: ")


def test_file_of_a_secret_wins_over_the_configuration_file(
    given: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text('redis_url = "redis://other/0"\n')
    monkeypatch.setenv("POINTSMAN_CONFIG", str(tmp_path / "a.toml"))
    given("redis_url", GOOD["redis_url"])
    assert WorkerSettings().require_redis_url() == ServiceSettings().require_redis_url() == GOOD["redis_url"]


def test_password_of_a_server_is_put_into_its_address_with_any_characters(given: Any) -> None:
    given("database_password", f"{HUNTER}\n")
    given("redis_password", f"{HUNTER}\n")
    url = make_url(ServiceSettings().require_database_url())
    assert (url.username, url.password, url.host, url.database) == ("app", HUNTER, "db", "x")
    assert ServiceSettings().require_redis_url() == WorkerSettings().require_redis_url()
    options = with_secrets(parse_options([], os.environ), ServiceSettings())
    assert make_url(str(options.database_url)).password == HUNTER
    assert options.redis_url == WorkerSettings().require_redis_url()


@pytest.mark.parametrize(
    ("kind", "variables", "why"),
    [
        (ServiceSettings, {"DATABASE_PASSWORD": "x"}, "POINTSMAN_DATABASE_PASSWORD is of no use without database_url"),
        (
            ServiceSettings,
            {"DATABASE_PASSWORD": "x", "DATABASE_URL": "postgresql://db/x"},
            "POINTSMAN_DATABASE_PASSWORD is of no use without a user in POINTSMAN_DATABASE_URL",
        ),
        (
            ServiceSettings,
            {"DATABASE_PASSWORD": "x", "DATABASE_URL": "postgresql://a:b@db/x"},
            "POINTSMAN_DATABASE_PASSWORD is given, and POINTSMAN_DATABASE_URL holds a password, too: keep one of them",
        ),
        *(
            (kind, {"REDIS_PASSWORD": "x", **more}, why)
            for kind in KINDS
            for more, why in (
                ({}, "POINTSMAN_REDIS_PASSWORD is of no use without redis_url"),
                (
                    {"REDIS_URL": "redis://:b@cache"},
                    (
                        "POINTSMAN_REDIS_PASSWORD is given, and POINTSMAN_REDIS_URL holds a password, too:"
                        " keep one of them"
                    ),
                ),
            )
        ),
    ],
)
def test_password_without_its_place_is_refused(
    kind: Kind, variables: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert fault(kind) == why


def test_password_that_looks_like_an_address_is_masked_whole(given: Any) -> None:
    given("smtp_password", "hunter2://hunter2")
    (row,) = [row for row in rows(WorkerSettings(), None) if row.name == "smtp_password"]
    assert row.value == "***"


@pytest.mark.parametrize("module", ["pointsman_service", "pointsman"])
def test_config_names_the_file_and_not_what_stands_in_it(module: str, tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("redis://:hunter2@cache/1\n")
    variables = inherited() | {"POINTSMAN_REDIS_URL_FILE": str(tmp_path / "broker")}
    words = [sys.executable, "-m", module, "config"]
    shown = subprocess.run(words, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "redis://:***@cache/1" in shown.stdout
    assert "POINTSMAN_REDIS_URL_FILE" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr
