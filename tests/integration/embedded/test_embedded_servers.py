import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from pointsman_service.embedded import binaries
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.integration.embedded.running_up import psql


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("servers") / "postgres", settings={"fsync": "off"}) as server:
        yield server


def value_of(server: ValkeyServer, key: str) -> object:
    with redis.Redis.from_url(server.url) as client:
        return client.get(key)


def test_postgres_is_utf8_listens_on_no_port_and_takes_settings(postgres: PostgresServer) -> None:
    dsn = postgres.dsn_of()
    assert psql(dsn, "SHOW server_encoding") == "UTF8"
    assert psql(dsn, "SHOW listen_addresses") == ""
    assert psql(dsn, "SHOW fsync") == "off"
    assert psql(dsn, "SHOW server_version").startswith("18.")


def test_fresh_database_is_empty_or_a_copy_of_its_template(postgres: PostgresServer) -> None:
    template = postgres.create_database("migrated")
    psql(postgres.dsn_of("migrated"), "CREATE TABLE marker AS SELECT 7 AS value")
    copy = postgres.create_database(template="migrated")
    name = copy.partition("@/")[2].partition("?")[0]

    assert template == postgres.url_of("migrated")
    assert psql(postgres.dsn_of(name), "SELECT value FROM marker") == "7"
    postgres.drop_database(name)
    with pytest.raises(subprocess.CalledProcessError):
        psql(postgres.dsn_of(name), "SELECT 1")


def test_killed_postgres_starts_again_at_the_same_url_with_its_data(postgres: PostgresServer) -> None:
    dsn, pid = postgres.dsn_of(), postgres.pid
    psql(dsn, "CREATE TABLE survivor AS SELECT 9 AS value")
    postgres.kill()
    postgres.start()

    assert postgres.pid != pid
    assert postgres.dsn_of() == dsn
    assert psql(dsn, "SELECT value FROM survivor") == "9"


def test_socket_directory_is_closed_to_others_and_removed_at_the_end(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        directory = server.socket_dir
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.parent.exists()


def test_servers_work_below_a_directory_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with (
        PostgresServer(closed / "postgres", settings={"fsync": "off"}) as postgres,
        ValkeyServer(closed / "valkey") as valkey,
    ):
        assert psql(postgres.dsn_of(), "SELECT 1") == "1"
        assert value_of(valkey, "nothing") is None
        if os.geteuid() == 0:
            assert (closed / "postgres").stat().st_uid != 0


def test_binaries_out_of_reach_run_from_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "can_reach", lambda *_: False)
    with (
        PostgresServer(tmp_path / "postgres", settings={"fsync": "off"}) as postgres,
        ValkeyServer(tmp_path / "valkey") as valkey,
    ):
        assert postgres.spec().command[0].startswith(str(postgres.runtime_dir))
        assert valkey.spec().command[0].startswith(str(valkey.runtime_dir))


def test_killed_valkey_keeps_its_port_and_what_was_appended(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "valkey") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "1")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        url = server.url
        server.kill()
        server.start()
        assert server.url == url
        assert value_of(server, "kept") == b"1"


def test_killed_valkey_without_append_only_file_comes_back_empty(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "valkey", appendonly=False, settings={"maxmemory": "64mb"}) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("lost", "1")
        server.kill()
        server.start()
        assert value_of(server, "lost") is None


def test_stopped_server_can_start_again(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "valkey") as server:
        server.stop()
        with pytest.raises(RuntimeError, match="valkey is not running"):
            _ = server.pid
        assert server.start().is_ready()


def test_valkey_with_a_password_lets_nobody_else_in_and_shows_it_to_nobody(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "valkey", has_password=True) as server:
        url, password = server.url, urlsplit(server.url).password
        assert password is not None
        with redis.Redis.from_url(url) as client:
            client.set("survivor", "9")
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        shown = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(server.port) in shown
        assert password not in shown + repr(server.spec()) + server.log_path.read_text()
        (file,) = [
            path for path in server.data_dir.iterdir() if path.is_file() and password in path.read_text("latin-1")
        ]
        assert file.stat().st_mode & 0o777 == 0o600
        server.kill()
        server.start()
        assert server.url == url
        assert value_of(server, "survivor") == b"9"
