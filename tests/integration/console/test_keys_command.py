"""``python -m pointsman_service keys``, as a person types it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
import typer
from pydantic import SecretStr

from pointsman_service import telemetry
from pointsman_service.__main__ import _refuse_without_admin, cli
from pointsman_service.access.token import is_token
from pointsman_service.settings import Settings


class Said(NamedTuple):
    """What a command said, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@pytest.fixture
def keys(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command, in this process: one of its own takes a second to read the code, each time."""
    monkeypatch.setenv("POINTSMAN_DATABASE_URL", settings.require_database_url())
    # What it says of logging holds for the whole process, and for good: the tests that follow would write to a closed
    # stream.
    monkeypatch.setattr(telemetry, "configure_logging", lambda _: None)
    before = structlog.get_config()["logger_factory"]
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    def run(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli(["keys", *words], prog_name="python -m pointsman_service")
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    structlog.configure(logger_factory=before)


def typed(*words: str) -> Said:
    """The command, as a process."""
    said = subprocess.run(
        [sys.executable, "-m", "pointsman_service", "keys", *words], capture_output=True, text=True, check=False
    )
    return Said(said.returncode, said.stdout, said.stderr)


def test_a_key_stands_alone_in_what_is_said_and_is_never_said_again(keys: Any) -> None:
    created = typed("create", "ops", "--preset", "admin", "--reason", "the first")
    assert created.exit_code == 0, created.output
    token = created.stdout.strip()
    assert is_token(token.encode())
    assert "This is the only time" in created.stderr
    assert token not in created.stderr
    listed = keys("list")
    assert token not in listed.output
    assert re.search(rf"{token[:7]}…{token[-4:]}  ops  active  admin  never used", listed.output)


def test_a_key_is_rotated_and_revoked_by_its_name(keys: Any) -> None:
    first = keys("create", "billing", "--preset", "submitter", "--task-type", "send_invoice", "--expires-days", "90")
    second = keys("rotate", "billing", "--overlap-hours", "1", "--json")
    made = json.loads(second.stdout)
    assert (made["name"], made["task_types"], made["key"] != first.stdout.strip()) == (
        "billing",
        ["send_invoice"],
        True,
    )
    revoked = keys("revoke", "billing", "--reason", "it leaked")
    assert revoked.exit_code == 0
    states = {one["id"]: one["state"] for one in json.loads(keys("list", "--json").stdout)}
    assert states.pop(made["id"]) == "revoked"
    assert list(states.values()) == ["active"]
    (old,) = states
    assert re.search(rf"billing still opens .* by its id:\n{old}", revoked.stderr)
    assert keys("revoke", old).stderr.count("still opens") == 0
    assert typed("revoke", "billing").exit_code == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["create", "x"], 2),
        (["create", "x", "--preset", "emperor"], 2),
        (["create", "x", "--scope", "tasks:dream"], 2),
        (["create", "two words", "--preset", "viewer"], 2),
        (["create", "x", "--preset", "viewer", "--expires-days", "0"], 2),
        (["rotate", "nobody"], 1),
        (["rotate", "01a20272-c811-71a5-99c0-510fde22a57d"], 1),
    ],
)
def test_what_cannot_be_is_said_in_words(keys: Any, words: list[str], status: int) -> None:
    said = keys(*words)
    assert said.exit_code == status
    assert said.stderr.strip()
    assert "Traceback" not in said.output


def test_a_name_that_is_taken_is_said(keys: Any) -> None:
    assert keys("create", "ops", "--preset", "admin").exit_code == 0
    again = keys("create", "ops", "--preset", "viewer")
    assert (again.exit_code, "ops already" in again.stderr) == (1, True)


def test_a_key_in_a_file_opens_what_is_said_and_is_provided_once(keys: Any, tmp_path: Path) -> None:
    drawn = keys("draw")
    assert is_token(drawn.stdout.strip().encode())
    file = tmp_path / "workers_key"
    file.write_text(drawn.stdout)
    wanted = f"workers=viewer,tasks:act@{file}"
    assert keys("provide", wanted).stdout == "workers: made\n"
    assert keys("provide", wanted).stdout == "workers: is there, active\n"
    (key,) = json.loads(keys("list", "--json").stdout)
    assert (key["name"], key["preset"], "tasks:act" in key["scopes"]) == ("workers", "viewer", True)
    assert keys("revoke", "workers").exit_code == 0
    assert keys("provide", wanted).stdout == "workers: is there, revoked\n"
    file.write_text(keys("draw").stdout)
    assert keys("provide", wanted).stdout == "workers: made\n"
    file.write_text(keys("draw").stdout)
    taken = keys("provide", wanted)
    assert (taken.exit_code, "workers already" in taken.stderr) == (1, True)


def test_the_first_key_of_an_admin_is_made_into_a_file_once(keys: Any, tmp_path: Path) -> None:
    file = tmp_path / "admin_key"
    assert keys("first", str(file)).stdout == f"the first key of an admin is in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    assert keys("first", str(file)).stdout == "there is a key of an admin\n"
    assert keys("provide", f"admin=admin@{file}").stdout == "admin: is there, active\n"
    assert keys("revoke", "admin").exit_code == 0
    assert keys("first", str(file)).stdout == f"the first key of an admin is in {file}\n"
    assert file.read_text() != before
    assert keys("revoke", "admin").exit_code == 0
    file.write_text("hunter2x")
    said = keys("first", str(file))
    assert (said.exit_code, "holds no key" in said.stderr, "hunter2x" in said.output) == (2, True, False)


@pytest.mark.parametrize("what", ["admin", "admin=admin", "=admin@x", "admin=emperor@{file}", "admin=admin@{file}"])
def test_what_is_no_key_in_a_file_is_said_without_what_stands_there(keys: Any, tmp_path: Path, what: str) -> None:
    file = tmp_path / "key"
    file.write_text("hunter2x")
    said = keys("provide", what.format(file=file))
    assert said.exit_code == 2
    assert "hunter2x" not in said.output


def test_an_address_that_others_reach_is_not_served_before_there_is_a_key_of_an_admin(
    keys: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**changed: Any) -> bool:
        try:
            _refuse_without_admin(settings.model_copy(update=changed))
        except typer.Exit:
            ended = True
        else:
            ended = False
        told = capsys.readouterr().err
        assert ("python -m pointsman_service keys create admin --preset admin" in told) == ended
        return ended

    assert refused(host="0.0.0.0")
    assert refused(keys_required=True)
    assert not refused()
    keys("create", "looks", "--preset", "operator")
    keys("create", "narrow", "--preset", "admin", "--task-type", "echo")
    assert refused(host="0.0.0.0")
    keys("create", "admin", "--preset", "admin")
    assert not refused(host="0.0.0.0")
    keys("revoke", "admin")
    assert refused(host="0.0.0.0")
    away = SecretStr("postgresql+asyncpg://app@/postgres?host=/nowhere")
    assert not refused(host="0.0.0.0", database_url=away)
