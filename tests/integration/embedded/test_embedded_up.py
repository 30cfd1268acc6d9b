import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from pointsman_contract.run_file import RunFile
from tests.integration.embedded.running_up import NAMELESS, STRANGER, StartUp, Up, psql
from tests.stand.waiting import until_now

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the death signal of a parent exists on Linux only")

STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('working', flush=True)\nwhile True: signal.pause()"


def published(data_dir: Path) -> RunFile:
    found = RunFile.read(data_dir)
    assert found is not None
    return found


def query(run: RunFile, sql: str) -> str:
    return psql(run.database_url.replace("+asyncpg", ""), sql)


def postgres_has_it(run: RunFile) -> bool:
    try:
        return query(run, "SELECT value FROM kept") == "41"
    except subprocess.CalledProcessError:
        return False


def valkey_has_it(run: RunFile) -> bool:
    try:
        with redis.Redis.from_url(run.redis_url) as client:
            return bool(client.get("kept") == b"42")
    except redis.ConnectionError:
        return False


def end(up: Up) -> None:
    up.interrupt()
    assert up.wait_end() == 0, up.output
    up.expect_nothing_left()


def refuses(up: Up, reason: str) -> None:
    """It ends with one line that says why, and leaves nothing."""
    assert up.wait_end() == 1
    errors = [line for line in up.output.splitlines() if line.startswith("up: error:")]
    assert len(errors) == 1, up.output
    assert reason in errors[0]
    assert "Traceback" not in up.output
    up.expect_nothing_left()


def test_starts_publishes_its_urls_and_stops_without_leftovers(start_up: StartUp, data_dir: Path) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    run = published(data_dir)
    assert run.supervisor_pid == up.process.pid
    assert f"migrating {run.database_url} {run.redis_url}" in up.output
    assert f"{run.api_url}/docs" in up.output
    runtime_dir = Path(run.database_url.partition("host=")[2]).parent
    assert runtime_dir.exists()

    end(up)

    assert "finished warmly" in up.output
    assert "Traceback" not in up.output
    assert not (data_dir / "run.json").exists()
    assert not runtime_dir.exists()
    assert "working" in (data_dir / "logs" / "w.one.log").read_text()


def test_data_and_address_are_kept_across_a_restart(start_up: StartUp, data_dir: Path) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    redis_url = published(data_dir).redis_url
    query(published(data_dir), "CREATE TABLE kept AS SELECT 41 AS value")
    with redis.Redis.from_url(redis_url) as client:
        client.set("kept", "42")
    end(up)

    again = start_up()
    again.wait_for("Ctrl-C stops it.")
    assert published(data_dir).redis_url == redis_url, "workers that outlived it would look for it in vain"
    assert postgres_has_it(published(data_dir))
    assert valkey_has_it(published(data_dir))
    end(again)


@linux_only
def test_nothing_is_left_and_data_is_free_after_the_supervisor_is_killed(start_up: StartUp) -> None:
    up = start_up(FAKE_CELERY="1")
    up.wait_for("Ctrl-C stops it.")
    # Two of its own beside the parent.
    until_now(lambda: sum("tiny_celery" in " ".join(p.cmdline()) for p in up.living()) == 3, "Celery's children")

    up.process.kill()
    up.expect_nothing_left()

    again = start_up()
    again.wait_for("Ctrl-C stops it.")
    end(again)


@linux_only
def test_runtime_directory_of_a_killed_supervisor_is_removed_by_the_next(start_up: StartUp, data_dir: Path) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    left = Path(published(data_dir).database_url.partition("host=")[2]).parent
    up.process.kill()
    up.expect_nothing_left()
    assert left.exists()

    again = start_up()
    again.wait_for("Ctrl-C stops it.")
    assert not left.exists()
    end(again)


def test_second_interrupt_does_not_wait_for_a_stubborn_worker(start_up: StartUp) -> None:
    up = start_up(FAKE_WORKER=STUBBORN)
    up.wait_for("Ctrl-C stops it.")
    up.interrupt()
    up.wait_for("stopping")
    up.interrupt()
    assert up.wait_end(timeout_seconds=15) == 0
    up.expect_nothing_left()


def test_interrupt_during_start_stops_what_has_started(start_up: StartUp) -> None:
    up = start_up()
    up.wait_for("starting postgres")
    end(up)


def test_dead_worker_is_started_again_and_the_reason_said(start_up: StartUp) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    up.child("finished warmly").kill()
    up.wait_for("w.one died (signal 9 SIGKILL), restart in ")
    up.wait_for("| working", times=2)
    end(up)


def test_killed_servers_come_back_at_the_same_place_with_their_data(start_up: StartUp, data_dir: Path) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    run = published(data_dir)
    query(run, "CREATE TABLE kept AS SELECT 41 AS value")
    with redis.Redis.from_url(run.redis_url) as client:
        client.set("kept", "42")

    up.child("postgres").kill()
    up.wait_for("postgres died (signal 9 SIGKILL), restart in ")
    up.child("valkey-server").kill()
    up.wait_for("valkey died (signal 9 SIGKILL), restart in ")

    until_now(lambda: valkey_has_it(run), "Valkey at the same port with its data")
    until_now(lambda: postgres_has_it(run), "PostgreSQL on the same socket with its data")
    end(up)


def test_failing_migration_ends_it(start_up: StartUp) -> None:
    refuses(start_up(FAKE_MIGRATE="raise SystemExit(3)"), "migrate failed with exit status 3")


def test_service_that_never_stays_up_ends_it(start_up: StartUp) -> None:
    refuses(start_up(FAKE_SERVICE="raise SystemExit(4)"), "service died 3 times, last with exit status 4")


def test_taken_port_is_refused(start_up: StartUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refuses(start_up("--port", str(port)), f"port {port} on 127.0.0.1 is taken by another process")


def test_port_taken_on_all_addresses_is_refused(start_up: StartUp) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        refuses(start_up("--port", str(port)), f"port {port} on 127.0.0.1 is taken by another process")


def test_data_of_a_running_instance_is_refused(start_up: StartUp) -> None:
    first = start_up()
    first.wait_for("Ctrl-C stops it.")
    refuses(start_up(), f"in use by another instance (process {first.process.pid})")
    end(first)


def test_data_dir_that_is_a_file_is_refused(start_up: StartUp, data_dir: Path) -> None:
    data_dir.write_text("not a directory")
    refuses(start_up(), "is a file")


def test_data_of_another_postgres_version_is_refused(start_up: StartUp, data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    refuses(start_up(), "was made by PostgreSQL 17 and this is PostgreSQL 18")


def test_own_database_is_used_instead_of_the_embedded_one(start_up: StartUp, data_dir: Path) -> None:
    mine = "postgresql+asyncpg://me@db.example/pointsman"
    up = start_up(POINTSMAN_DATABASE_URL=mine)
    up.wait_for("Ctrl-C stops it.")
    assert published(data_dir).database_url == mine
    assert f"migrating {mine} redis://" in up.output
    assert not (data_dir / "postgres").exists()
    end(up)


def test_own_servers_whose_secrets_stand_in_files_are_used_and_their_children_find_them(
    start_up: StartUp, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql+asyncpg://me:s3cret@db.example/pointsman\n")
    (tmp_path / "password").write_text("s3cret/@\n")
    up = start_up(
        POINTSMAN_DATABASE_URL_FILE=str(tmp_path / "url"),
        POINTSMAN_REDIS_URL="redis://cache.example:6379/3",
        POINTSMAN_REDIS_PASSWORD_FILE=str(tmp_path / "password"),
    )
    up.wait_for("Ctrl-C stops it.")
    run = published(data_dir)
    assert run.database_url == "postgresql+asyncpg://me:s3cret@db.example/pointsman"
    assert run.redis_url == "redis://:s3cret%2F%40@cache.example:6379/3"
    assert f"migrating {run.database_url} {run.redis_url}" in up.output
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "valkey").exists()
    end(up)


def test_own_broker_is_used_instead_of_the_embedded_one(start_up: StartUp, data_dir: Path) -> None:
    mine = "redis://cache.example:6379/3"
    up = start_up(POINTSMAN_REDIS_URL=mine)
    up.wait_for("Ctrl-C stops it.")
    assert published(data_dir).redis_url == mine
    assert not (data_dir / "valkey").exists()
    end(up)


def test_without_pools_it_is_ready_and_says_so(start_up: StartUp) -> None:
    up = start_up("--pools", "none")
    up.wait_for("No workers were started")
    end(up)


def test_terminate_stops_like_an_interrupt(start_up: StartUp) -> None:
    up = start_up()
    up.wait_for("Ctrl-C stops it.")
    up.process.send_signal(signal.SIGTERM)
    assert up.wait_end() == 0
    up.expect_nothing_left()


def test_ordinary_user_can_run_it(start_up_as_stranger: StartUp, stranger_dir: Path) -> None:
    up = start_up_as_stranger(stranger_dir / "data")
    up.wait_for("Ctrl-C stops it.")
    assert {process.uids().effective for process in up.living()} == {STRANGER}
    end(up)


def test_data_dir_that_is_not_writable_is_refused(start_up_as_stranger: StartUp, stranger_dir: Path) -> None:
    os.chown(stranger_dir, 0, 0)
    refuses(start_up_as_stranger(stranger_dir / "data"), "it is not writable")
    (stranger_dir / "data").mkdir()
    refuses(start_up_as_stranger(stranger_dir / "data"), "it is not writable")


def test_user_without_a_name_is_told_why_it_cannot(start_up_as_stranger: StartUp, stranger_dir: Path) -> None:
    os.chown(stranger_dir, NAMELESS, NAMELESS)
    refuses(start_up_as_stranger(stranger_dir / "data", user=NAMELESS), "user 12345 has no name on this machine")
