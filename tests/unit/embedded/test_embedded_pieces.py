import importlib.util
import io
import os
import random
import socket
from pathlib import Path

import pytest

from pointsman_service.embedded import locks
from pointsman_service.embedded.accounts import has_name
from pointsman_service.embedded.backoff import Backoff
from pointsman_service.embedded.binaries import postgres_home, valkey_server
from pointsman_service.embedded.children import describe_exit
from pointsman_service.embedded.data_dir import claimed
from pointsman_service.embedded.errors import PortUnusable, WheelMissing
from pointsman_service.embedded.logs import Console, Lines, LogFile
from pointsman_service.embedded.ports import free_port, kept_port, require_free
from pointsman_service.embedded.runtime_dir import make_runtime_dir, remove_runtime_dir

RNG = random.Random(7)


def test_backoff_doubles_to_its_ceiling_and_is_never_less_than_half() -> None:
    backoff = Backoff(base_seconds=0.5, max_seconds=30)
    for failures, ceiling in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (5000, 30.0)]:
        delays = [backoff.delay(failures, RNG) for _ in range(200)]
        assert ceiling / 2 <= min(delays)
        assert max(delays) <= ceiling
        assert len(set(delays)) > 1


def test_exit_is_described_by_status_or_signal_name() -> None:
    assert describe_exit(3) == "exit status 3"
    assert describe_exit(-9) == "signal 9 SIGKILL"


def test_lines_are_cut_wherever_the_bytes_arrive() -> None:
    lines = Lines()
    assert lines.feed(b"on") == []
    assert lines.feed(b"e\r\ntwo\nthr") == ["one", "two"]
    assert lines.feed(b"x" * 40_000) == ["thr" + "x" * 40_000]
    assert lines.feed("ü".encode()[:1]) == []
    assert lines.finish() == ["\ufffd"]
    assert lines.finish() == []


def test_log_file_and_its_predecessor_stay_bounded(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    log = LogFile(path, max_bytes=100)
    for number in range(50):
        log.write(f"line {number:04}\n".encode())
    log.close()
    assert path.stat().st_size <= 100
    assert (tmp_path / "child.log.1").stat().st_size <= 100
    assert path.read_text().endswith("line 0049\n")
    assert len(list(tmp_path.iterdir())) == 2


def test_log_file_that_cannot_be_written_loses_only_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "gone" / "child.log")
    log.write(b"lost\n")
    (tmp_path / "gone").mkdir()
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "gone" / "child.log").read_bytes() == b"kept\n"


def test_console_without_a_reader_goes_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", buffering=1)
    console = Console(stream)
    console.say("up", "nobody reads this")
    console.say("up", "nor this")
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_console_colours_only_the_label() -> None:
    stream = io.StringIO()
    Console(stream, coloured=True).say("valkey", "hello")
    assert stream.getvalue().endswith("\033[0m hello\n")
    plain = io.StringIO()
    Console(plain).say("valkey", "hello")
    assert plain.getvalue() == "valkey          | hello\n"


def test_a_child_cannot_forge_a_line_of_another_nor_command_the_terminal() -> None:
    stream = io.StringIO()
    Console(stream).say("w.email", "boom \x1b[2J\rup              | stopped")
    assert stream.getvalue() == "w.email         | boom \\x1b[2J\\rup              | stopped\n"


def test_free_port_lies_below_those_of_outgoing_connections() -> None:
    port = free_port()
    assert 20000 <= port < 32000
    require_free(port)


def test_port_is_kept_while_it_is_free_and_replaced_when_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "port"
    port = kept_port(file)
    assert kept_port(file) == port
    with socket.create_server(("127.0.0.1", port)):
        other = kept_port(file)
    assert other != port
    assert kept_port(file) == other


@pytest.mark.parametrize("text", ["", "six", "80", "-1"])
def test_kept_port_that_makes_no_sense_is_replaced(tmp_path: Path, text: str) -> None:
    file = tmp_path / "port"
    file.write_text(text)
    assert 20000 <= kept_port(file) < 32000
    assert file.read_text() != text


def test_listened_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortUnusable, match="taken"):
        require_free(taken.getsockname()[1])


def test_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    descriptor = locks.take(path)
    assert descriptor is not None
    assert locks.take(path) is None
    assert not locks.wait_free(path, 0.05)
    os.close(descriptor)
    assert locks.is_free(path)


def test_claim_leaves_no_runtime_directory(tmp_path: Path) -> None:
    with claimed(tmp_path / "data") as make:
        runtime_dir = make()
        assert runtime_dir.is_dir()
        assert (tmp_path / "data" / "owner.lock").read_text() == f"{os.getpid()}\n{runtime_dir}\n"
    assert not runtime_dir.exists()


def test_runtime_directory_fits_a_socket_path_even_below_a_long_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    path = make_runtime_dir()
    try:
        assert len(str(path / "socket" / ".s.PGSQL.5432")) <= 103
    finally:
        remove_runtime_dir(path)
    assert not path.exists()
    assert list(long.iterdir()) == []


def test_only_a_runtime_directory_is_removed(tmp_path: Path) -> None:
    remove_runtime_dir(tmp_path)
    assert tmp_path.exists()
    link = tmp_path / "pointsman-link"
    link.symlink_to(tmp_path)
    remove_runtime_dir(link)
    assert link.exists()


@pytest.mark.parametrize("find", [postgres_home, valkey_server])
def test_missing_wheels_name_the_extra(monkeypatch: pytest.MonkeyPatch, find: object) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WheelMissing, match=r"pip install 'pointsman-service\[embedded\]'"):
        find()  # type: ignore[operator]  # any of the finders


def test_user_ids_without_a_name_are_known() -> None:
    assert has_name(0)
    assert not has_name(3_999_999_999)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_runtime_directory_is_never_below_one_that_the_servers_cannot_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = make_runtime_dir()
    try:
        assert not path.is_relative_to(tmp_path)
    finally:
        remove_runtime_dir(path)
